/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The disk seam: all bytes of an image pass through a struct f4_disk.
 *
 * Positions and lengths are bytes, relative to the start of the filesystem (an offset into a
 * partitioned image is the backend's affair). Every call is whole or an error: a short transfer is
 * -EIO, a range beyond the size is -EIO and never touches the device. Calls may come from any
 * thread at once; two overlapping writes at the same time are the caller's bug.
 *
 * Backends: f4_disk_fd_new (a descriptor), f4_disk_overlay_new (a read-only disk seen with some
 * blocks replaced: recovery into memory), and the simulated disk of the crash tests (disk_sim.h).
 */
#ifndef F4_EXT4_DISK_H
#define F4_EXT4_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct f4_disk;

struct f4_disk_ops {
	int (*readv)(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);
	int (*writev)(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);
	/* All writes that returned before the call are durable when it returns. */
	int (*flush)(struct f4_disk *d);
	/* As writev, durable on return (FUA); NULL: writev then flush. Orders nothing else. */
	int (*writev_fua)(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);
	/* A hint; content of the range is undefined afterwards. NULL: -EOPNOTSUPP. */
	int (*discard)(struct f4_disk *d, uint64_t pos, uint64_t len);
	/* The range reads as zeroes afterwards. NULL: written out as zeroes. */
	int (*zero)(struct f4_disk *d, uint64_t pos, uint64_t len);
	/* Start reading the range into the device's cache; never fails, may do nothing. NULL: nothing. */
	void (*readahead)(struct f4_disk *d, uint64_t pos, uint64_t len);
	void (*destroy)(struct f4_disk *d);
};

struct f4_disk {
	const struct f4_disk_ops *ops;
	uint64_t size_bytes;
	uint32_t sector_size; /* smallest atomic write, bytes */
	bool read_only;	      /* every write is -EROFS */
};

/* Thin, range-checked front of the ops. Return: 0 or a negative errno as the backend gives it. */
int f4_disk_read(struct f4_disk *d, void *buf, size_t len, uint64_t pos);
int f4_disk_write(struct f4_disk *d, const void *buf, size_t len, uint64_t pos);
int f4_disk_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);
int f4_disk_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos);
int f4_disk_write_fua(struct f4_disk *d, const void *buf, size_t len, uint64_t pos);
int f4_disk_flush(struct f4_disk *d);
int f4_disk_discard(struct f4_disk *d, uint64_t pos, uint64_t len);
int f4_disk_zero(struct f4_disk *d, uint64_t pos, uint64_t len);
void f4_disk_readahead(struct f4_disk *d, uint64_t pos, uint64_t len);

/* f4_disk_free - destroy; NULL is allowed. Return: NULL. */
struct f4_disk *f4_disk_free(struct f4_disk *d);

struct f4_disk_fd_params {
	int fd;		     /* borrowed: the caller keeps it open longer than the disk */
	uint64_t offset;     /* bytes; where the filesystem starts in the file */
	uint64_t size_limit; /* bytes; 0: to the end of the file or device */
	bool read_only;
	bool direct;	     /* the descriptor was opened with O_DIRECT */
};

/*
 * f4_disk_fd_new - a disk on a regular file or block device.
 * Return: 0; -EINVAL for another kind of descriptor or an offset beyond the end; -ENOMEM.
 */
int f4_disk_fd_new(const struct f4_disk_fd_params *params, struct f4_disk **ret);

/*
 * f4_disk_fd_narrow - from now on @d, made with offset 0 and no size limit, is the part of the file
 * from @offset on. For a filesystem whose place is known only once the partition table was read,
 * when f4_disk_fd_new may not look at the descriptor any more: makes no system call.
 * @size_limit: bytes; 0: to the end. Nobody else uses @d yet.
 * Return: 0; -EINVAL when @offset is beyond the end.
 */
int f4_disk_fd_narrow(struct f4_disk *d, uint64_t offset, uint64_t size_limit);

/*
 * f4_disk_overlay_new - @base (owned from here on, also freed with it) seen with replaced blocks.
 * Every write to it is -EROFS; f4_disk_overlay_put adds a block.
 * @block_size: bytes, a power of two
 */
int f4_disk_overlay_new(struct f4_disk *base, uint32_t block_size, struct f4_disk **ret);

/* f4_disk_overlay_put - block @blk reads as @data (copied). Not while readers run. Return: 0, -ENOMEM. */
int f4_disk_overlay_put(struct f4_disk *overlay, uint64_t blk, const void *data);

#endif
