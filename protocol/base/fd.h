/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptors: whole reads and writes, close-on-exec, and what a foreign one really is.
 *
 * Non-logging. No function here closes a descriptor that it was given unless it says "consumes".
 */
#ifndef F4_BASE_FD_H
#define F4_BASE_FD_H

#include <stddef.h>
#include <sys/types.h>

/* f4_fd_cloexec - set close-on-exec. Return: 0 or -errno. */
int f4_fd_cloexec(int fd);

/*
 * f4_fd_above_stdio - move *@fd to a number of 3 or more, so that no library prints into it.
 * @fd: consumed and replaced when it was below 3; close-on-exec then
 * Return: 0 or -errno, with *@fd unchanged.
 */
int f4_fd_above_stdio(int *fd);

/*
 * f4_fd_ensure_stdio - open /dev/null on each of 0, 1, 2 that is closed: the first thing that a
 * program with rights does, so that no later descriptor becomes its stderr.
 * Return: 0 or -errno.
 */
int f4_fd_ensure_stdio(void);

/*
 * f4_fd_write_all, f4_fd_pwrite_all - write all @len bytes; interrupted or short writes go on.
 * Return: 0 or -errno (some bytes may have been written).
 */
int f4_fd_write_all(int fd, const void *buf, size_t len);
int f4_fd_pwrite_all(int fd, const void *buf, size_t len, off_t pos_bytes);

/*
 * f4_fd_read_all, f4_fd_pread_all - read until @len bytes are there or the file ends.
 * @ret_len: bytes read; fewer than @len at the end of the file
 * Return: 0 or -errno.
 */
int f4_fd_read_all(int fd, void *buf, size_t len, size_t *ret_len);
int f4_fd_pread_all(int fd, void *buf, size_t len, off_t pos_bytes, size_t *ret_len);

/*
 * f4_fd_slurp - a small file's contents from the current offset, NUL-ended.
 * @max:     bytes allowed
 * @ret:     owned by the caller
 * @ret_len: bytes without the NUL that is added; may be NULL
 * Return: 0; -EFBIG when there are more than @max; -ENOMEM; -errno of read(2).
 */
int f4_fd_slurp(int fd, size_t max, char **ret, size_t *ret_len);

enum f4_fd_kind {
	F4_FD_FUSE,	    /* /dev/fuse: character device 10:229 */
	F4_FD_REGULAR,
	F4_FD_BLOCK,
	F4_FD_IMAGE,	    /* regular file or block device */
	F4_FD_MEMORY,	    /* a memfd or tmpfs file: F_GET_SEALS answers; reading cannot hang */
	F4_FD_MEMORY_FIXED, /* sealed against writing, growing, shrinking and further seals */
	F4_FD_PATH_DIR,	    /* directory, opened with O_PATH */
	F4_FD_PATH_MOUNT,   /* directory or regular file, opened with O_PATH */
	F4_FD_SOCKET,
	F4_FD_KIND_MAX
};

/* Positive results of f4_fd_expect(). */
enum f4_fd_error {
	F4_FD_E_KIND = 1, /* something else */
	F4_FD_E_ACCESS,	  /* not open for what was asked, or O_PATH where it must not be */
	F4_FD_E_SEALS	  /* seals missing */
};

/*
 * f4_fd_expect - is @fd (borrowed) what it was announced as? For descriptors that a peer sent.
 * @access: O_RDONLY, O_WRONLY or O_RDWR: it must be open for at least that; ignored for the
 *          F4_FD_PATH_* kinds and sockets
 * Calls fstat(2), which can wait for a filesystem of the peer's: a process that serves more than
 * one peer calls this under a deadline.
 * Return: 0; F4_FD_E_*; -errno of fstat(2), fcntl(2).
 */
int f4_fd_expect(int fd, enum f4_fd_kind kind, int access);

/* f4_fd_kind_name - words for people ("a sealed memory file"). */
const char *f4_fd_kind_name(enum f4_fd_kind kind);

#endif
