/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The argument memfd; the contract is in argv.h. */
#include "protocol/argv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "protocol/wire.h"

/* source: linux/memfd.h since 6.3, where an unmarked memfd may be refused (vm.memfd_noexec) */
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

static int sealed_memfd(const void *bytes, size_t len, int *ret_fd)
{
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	f4_auto_fd fd = memfd_create("fuse4fs arguments", flags | MFD_NOEXEC_SEAL);
	int r;

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("fuse4fs arguments", flags);
	if (fd < 0)
		return -errno;
	r = f4_fd_pwrite_all(fd, bytes, len, 0); /* leaves the offset, which the server shares, at 0 */
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	*ret_fd = f4_take_fd(&fd);
	return 0;
}

int f4_argv_create(unsigned int argc, const char *const *argv, int *ret_fd)
{
	f4_auto_free char *bytes = NULL;
	struct f4_wire_args head = { f4_mk_be32(F4_WIRE_ARGS), f4_mk_be32(argc) };
	size_t pos, total;

	if (argc == 0)
		return -EINVAL;
	if (argc > F4_WIRE_ARGS_COUNT_MAX)
		return -E2BIG;
	pos = sizeof(head) + argc * sizeof(struct f4_wire_arg);
	total = pos;
	for (unsigned int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]) + 1;

		if (len > F4_WIRE_ARGS_BYTES_MAX - total)
			return -E2BIG;
		total += len;
	}
	bytes = malloc(total);
	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &head, sizeof(head));
	for (unsigned int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]) + 1;
		struct f4_wire_arg arg = { f4_mk_be32((uint32_t)pos), f4_mk_be32((uint32_t)len) };

		memcpy(bytes + sizeof(head) + i * sizeof(arg), &arg, sizeof(arg));
		memcpy(bytes + pos, argv[i], len);
		pos += len;
	}
	return sealed_memfd(bytes, total, ret_fd);
}

/* Check the copy and point @argv, which has room, into it. */
static int index_args(const char *bytes, size_t len, unsigned int argc, const char **argv)
{
	size_t strings = sizeof(struct f4_wire_args) + argc * sizeof(struct f4_wire_arg);

	for (unsigned int i = 0; i < argc; i++) {
		struct f4_wire_arg arg;
		size_t pos, n;

		memcpy(&arg, bytes + sizeof(struct f4_wire_args) + i * sizeof(arg), sizeof(arg));
		pos = f4_get_be32(arg.pos);
		n = f4_get_be32(arg.len);
		if (pos < strings || pos > len || n > len - pos)
			return F4_ARGV_E_RANGE;
		if (n == 0 || memchr(bytes + pos, '\0', n) != bytes + pos + n - 1)
			return F4_ARGV_E_STRING;
		argv[i] = bytes + pos;
	}
	argv[argc] = NULL;
	return 0;
}

/* As f4_argv_decode(); *@bytes is consumed on success. */
static int decode_owned(char **bytes, size_t len, struct f4_argv *ret)
{
	f4_auto_free const char **argv = NULL;
	struct f4_wire_args head;
	uint32_t argc;
	int r;

	if (len < sizeof(head) || len > F4_WIRE_ARGS_BYTES_MAX)
		return F4_ARGV_E_SIZE;
	memcpy(&head, *bytes, sizeof(head));
	if (f4_get_be32(head.magic) != F4_WIRE_ARGS)
		return F4_ARGV_E_MAGIC;
	argc = f4_get_be32(head.argc);
	if (argc == 0 || argc > F4_WIRE_ARGS_COUNT_MAX)
		return F4_ARGV_E_COUNT;
	if (len < sizeof(head) + argc * sizeof(struct f4_wire_arg))
		return F4_ARGV_E_SIZE;
	argv = calloc(argc + 1, sizeof(*argv));
	if (!argv)
		return -ENOMEM;
	r = index_args(*bytes, len, argc, argv);
	if (r != 0)
		return r;
	ret->argc = argc;
	ret->argv = f4_take_ptr(argv);
	ret->bytes = f4_take_ptr(*bytes);
	return 0;
}

int f4_argv_decode(const void *bytes, size_t len, struct f4_argv *ret)
{
	f4_auto_free char *copy = NULL;

	if (len == 0 || len > F4_WIRE_ARGS_BYTES_MAX)
		return F4_ARGV_E_SIZE;
	copy = malloc(len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, bytes, len);
	return decode_owned(&copy, len, ret);
}

int f4_argv_read(int fd, struct f4_argv *ret)
{
	f4_auto_free char *copy = NULL;
	size_t size, got = 0;
	struct stat st;
	int r;

	r = f4_fd_expect(fd, F4_FD_MEMORY, O_RDONLY);
	if (r != 0)
		return r < 0 ? r : F4_ARGV_E_KIND;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size <= 0 || st.st_size > (off_t)F4_WIRE_ARGS_BYTES_MAX)
		return F4_ARGV_E_SIZE;
	size = (size_t)st.st_size;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	r = f4_fd_pread_all(fd, copy, size, 0, &got);
	if (r < 0)
		return r;
	if (got != size)
		return F4_ARGV_E_CHANGED;
	return decode_owned(&copy, size, ret);
}

void f4_argv_done(struct f4_argv *a)
{
	free(a->argv);
	free(a->bytes);
	*a = (struct f4_argv)F4_ARGV_INIT;
}

const char *f4_argv_strerror(int e)
{
	static const char *const words[] = {
		[0] = "well-formed",
		[F4_ARGV_E_KIND] = "not a readable memory file",
		[F4_ARGV_E_SIZE] = "wrong size",
		[F4_ARGV_E_MAGIC] = "not an argument file",
		[F4_ARGV_E_COUNT] = "no arguments, or too many",
		[F4_ARGV_E_RANGE] = "argument outside the file",
		[F4_ARGV_E_STRING] = "malformed argument",
		[F4_ARGV_E_CHANGED] = "changed while it was read",
	};
	const char *s = NULL;

	if (e < 0)
		s = strerrordesc_np(-e);
	else if ((size_t)e < F4_ARRAY_LEN(words))
		s = words[e];
	return s ? s : "unknown error";
}
