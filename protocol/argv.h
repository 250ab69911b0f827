/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The argument memfd: how a helper hands its command line to a server.
 *
 * Layout in wire.h. Ours is exact (table, then strings, no gaps) and sealed against every change;
 * a foreign helper's is neither, so reading copies it once, within bounds, and believes only the
 * copy. Limits: F4_WIRE_ARGS_COUNT_MAX arguments, F4_WIRE_ARGS_BYTES_MAX bytes in all.
 */
#ifndef F4_PROTOCOL_ARGV_H
#define F4_PROTOCOL_ARGV_H

#include <stddef.h>

struct f4_argv {
	unsigned int argc; /* at least 1; argv[0] is the filesystem subtype */
	const char **argv; /* owned array, NULL-ended; the strings are in bytes */
	char *bytes;	   /* owned */
};

#define F4_ARGV_INIT { 0, NULL, NULL }

/* Why an argument file is refused. Positive: the peer's fault. */
enum f4_argv_error {
	F4_ARGV_E_KIND = 1, /* not an in-memory file, or not readable */
	F4_ARGV_E_SIZE,	    /* shorter than its table, or longer than the limit */
	F4_ARGV_E_MAGIC,
	F4_ARGV_E_COUNT,  /* no argument, or more than the limit */
	F4_ARGV_E_RANGE,  /* a string outside the file or inside the table */
	F4_ARGV_E_STRING, /* without its NUL, or with one inside */
	F4_ARGV_E_CHANGED /* it changed its size while it was read */
};

/*
 * f4_argv_create - a sealed memfd with these arguments.
 * @argv:   borrowed; argv[0] must be the subtype
 * @ret_fd: owned by the caller, close-on-exec, offset 0
 * Return: 0; -E2BIG when a limit is exceeded; -EINVAL when @argc is 0; -errno of memfd_create(2),
 * write(2), fcntl(2).
 */
int f4_argv_create(unsigned int argc, const char *const *argv, int *ret_fd);

/*
 * f4_argv_decode - check and take over a copy of an argument file's bytes.
 * @bytes: @len of them, any contents; borrowed
 * @ret:   written only on success; f4_argv_done() it. Strings may overlap in a foreign file.
 * Return: 0; F4_ARGV_E_*; -ENOMEM. No system call but allocation.
 */
int f4_argv_decode(const void *bytes, size_t len, struct f4_argv *ret);

/*
 * f4_argv_read - the same from a descriptor that a peer sent.
 * @fd: borrowed; must be an in-memory file (F_GET_SEALS answers), so that reading cannot hang.
 *      Its seals are not demanded: a foreign helper sets none.
 * Return: 0; F4_ARGV_E_*; -ENOMEM, -errno of fstat(2), pread(2).
 */
int f4_argv_read(int fd, struct f4_argv *ret);

void f4_argv_done(struct f4_argv *a);

/* f4_argv_strerror - words for F4_ARGV_E_* and -errno; never NULL. */
const char *f4_argv_strerror(int e);

#endif
