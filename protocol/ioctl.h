/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Private ioctls on the root directory of a mount: the only channel to a server once its service
 * socket is closed. FUSE passes them on as FUSE_IOCTL with FUSE_IOCTL_DIR, not "unrestricted", so
 * the kernel copies exactly the bytes that the number's size and direction say.
 *
 * The server answers them on the root directory alone, and only to uid 0 of its user namespace's
 * view of the caller or to the uid that mounted (fuse_req_ctx()->uid): EPERM otherwise, ENOTTY for
 * any other number or inode. Numbers are never reused for another meaning.
 *
 * number      call             argument             answer
 * 0xF4 0x01   F4_IOC_SYNC      none                 0 when all that was written before it is on
 *                                                   the device and needs no journal replay (commit,
 *                                                   checkpoint, flush); -EIO and so on when it is
 *                                                   not; 0 at once on a read-only mount
 * 0xF4 0x02   F4_IOC_REMOUNT   struct f4_remount    0 when the server is in the asked state: for
 *                                                   read-only all is on the device and the image is
 *                                                   marked clean; -EROFS when it was asked to write
 *                                                   with a descriptor that can't; -EINVAL for an
 *                                                   unknown flag
 *
 * Two more, on any directory of a mount with fakeroot and nowhere else (EPERM), for what the kernel
 * lets nobody but root ask for:
 *
 * 0xF4 0x03   F4_IOC_MKNOD     struct f4_mknod      0: the directory has a device node of that name,
 *                                                   owned by 0:0, and the kernel has not heard of it:
 *                                                   use a name that nobody has looked up, and rename
 *                                                   it. -EINVAL: no device, or no name; -EEXIST and
 *                                                   so on as mknod(2)
 * 0xF4 0x04   F4_IOC_SETXATTR  struct f4_setxattr   0: set, on the file of that name in the directory,
 *                                                   or with no name on the directory. -EINVAL: not
 *                                                   security.*, trusted.* or an ACL; else as
 *                                                   setxattr(2)
 */
#ifndef F4_PROTOCOL_IOCTL_H
#define F4_PROTOCOL_IOCTL_H

#include <assert.h>
#include <stdint.h>
#include <sys/ioctl.h>

#define F4_IOC_TYPE 0xF4

#define F4_REMOUNT_RO 1u /* become read-only; without it: become read-write */

/* In host order: both ends run under one kernel. */
struct f4_remount {
	uint32_t flags; /* 0x00 F4_REMOUNT_* */
	uint32_t zero;	/* 0x04 must be 0 */
};

static_assert(sizeof(struct f4_remount) == 8, "part of the ioctl number");

#define F4_IOC_NAME_BYTES  256u  /* with the NUL */
#define F4_IOC_VALUE_BYTES 8192u /* an ioctl carries less than 16 KiB */

struct f4_mknod {
	uint32_t mode; /* 0x00 S_IFCHR or S_IFBLK, and 07777 */
	uint32_t major; /* 0x04 */
	uint32_t minor; /* 0x08 */
	uint32_t zero; /* 0x0c must be 0 */
	char name[F4_IOC_NAME_BYTES]; /* 0x10 no slash, not "." or ".." */
};

static_assert(sizeof(struct f4_mknod) == 272, "part of the ioctl number");

struct f4_setxattr {
	uint32_t flags; /* 0x00 XATTR_CREATE, XATTR_REPLACE */
	uint32_t size; /* 0x04 bytes of the value */
	char file[F4_IOC_NAME_BYTES]; /* 0x008 */
	char name[F4_IOC_NAME_BYTES]; /* 0x108 */
	uint8_t value[F4_IOC_VALUE_BYTES]; /* 0x208 */
};

static_assert(sizeof(struct f4_setxattr) == 8712, "part of the ioctl number");

#define F4_IOC_SYNC	_IO(F4_IOC_TYPE, 0x01)
#define F4_IOC_REMOUNT	_IOW(F4_IOC_TYPE, 0x02, struct f4_remount)
#define F4_IOC_MKNOD	_IOW(F4_IOC_TYPE, 0x03, struct f4_mknod)
#define F4_IOC_SETXATTR	_IOW(F4_IOC_TYPE, 0x04, struct f4_setxattr)

#endif
