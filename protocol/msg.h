/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages of both protocols: bytes in, struct out, and back.
 *
 * One table row a message says how long its fixed part is, whether a string follows, and how many
 * descriptors it carries; decode and encode are driven by it. No system call, no allocation, no
 * logging: fit for a fuzzer and for the sealed server. What is legal *when* is conv.h's business,
 * what is *allowed* is the caller's (policy of the helper or of the broker).
 *
 * A decoded message borrows its text from the packet that it was decoded from.
 */
#ifndef F4_PROTOCOL_MSG_H
#define F4_PROTOCOL_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/wire.h"

enum f4_msg_type {
	F4_MSG_HELLO,
	F4_MSG_HELLO_REPLY,
	F4_MSG_FILE,
	F4_MSG_OPEN,
	F4_MSG_OPEN_BDEV,
	F4_MSG_FSOPEN,
	F4_MSG_SOURCE,
	F4_MSG_MOUNTPOINT,
	F4_MSG_MNTOPTS,
	F4_MSG_MTABOPTS,
	F4_MSG_MOUNT,
	F4_MSG_BYE,
	F4_MSG_REPLY,
	F4_MSG_ATTACH, /* from here on: the attach protocol */
	F4_MSG_DETACH,
	F4_MSG_ANSWER,
	F4_MSG_MAX
};

/* Why a packet, or its moment, is refused. Positive: the caller must end the conversation. */
enum f4_msg_error {
	F4_MSG_E_SIZE = 1, /* shorter than its fixed part, or longer than a packet may be */
	F4_MSG_E_MAGIC,	   /* no such message */
	F4_MSG_E_VERSION,  /* no protocol version in common */
	F4_MSG_E_FLAGS,	   /* unknown flag */
	F4_MSG_E_RESERVED, /* reserved field not zero */
	F4_MSG_E_STRING,   /* text missing, empty, too long, without its NUL or with one inside */
	F4_MSG_E_VALUE,	   /* field out of its range */
	F4_MSG_E_TRAILING, /* bytes after the end of the message */
	F4_MSG_E_STATE,	   /* not now (conv.h) */
	F4_MSG_E_TWICE,	   /* at most once, and it was here already (conv.h) */
	F4_MSG_E_MAX	   /* codes of chan.h begin above this */
};

/* The broker's rules, as they stand in an answer; numbers are wire format: append only. */
enum f4_rule {
	F4_RULE_NONE = 0,
	F4_RULE_PROTOCOL,    /* malformed request, or wrong descriptors */
	F4_RULE_FUSE_FD,     /* the first descriptor is not an unused /dev/fuse, open read-write */
	F4_RULE_MOUNT_POINT, /* not a directory or regular file opened with O_PATH */
	F4_RULE_WRITABLE,    /* the caller may not write the mount point */
	F4_RULE_STICKY,	     /* sticky directory of somebody else */
	F4_RULE_FS_TYPE,     /* mounting on this kind of filesystem is not allowed */
	F4_RULE_NAMESPACE,   /* the mount point is in another mount namespace */
	F4_RULE_ALLOW_OTHER, /* user_allow_other is not in fuse.conf */
	F4_RULE_MOUNT_MAX,   /* mount_max of fuse.conf is reached */
	F4_RULE_RATE,	     /* too many requests by this user */
	F4_RULE_OPTION,	     /* an option that an ordinary user may not have */
	F4_RULE_SOURCE,	     /* the source text is not what the descriptor proves */
	F4_RULE_DEADLINE,    /* the request took too long */
	F4_RULE_NOT_OURS,    /* detach: not a mount of this program, or not a mount's root */
	F4_RULE_OWNER,	     /* detach: another user's mount */
	F4_RULE_TOPMOST,     /* detach: something is mounted over or below it */
	F4_RULE_BUSY,	     /* detach: in use */
	F4_RULE_ACCESS,	     /* the broker does not serve this user */
	F4_RULE_KERNEL,	     /* the kernel refused; the errno is its */
	F4_RULE_MAX
};

struct f4_msg {
	enum f4_msg_type type;
	uint32_t text_len; /* bytes without the NUL */
	const char *text;  /* NUL-ended, borrowed; NULL when the message has none. The name, path,
			      source, options or explanation of the message. */
	union {
		struct {
			uint16_t min_version, max_version;
			uint32_t flags; /* F4_HELLO_* */
		} hello;
		struct {
			uint16_t version;
		} hello_reply;
		struct { /* text: the name as it was asked for */
			uint32_t error; /* positive errno, 0 = a descriptor comes with it */
		} file;
		struct { /* OPEN and BDEV; text: path, not empty */
			uint32_t open_flags; /* any bits: the helper masks */
			uint32_t create_mode; /* st_mode bits, at most 0177777 */
			uint32_t request_flags; /* F4_OPEN_* */
			uint32_t block_size; /* bytes; a power of two from 512 to 1 MiB, or 0 */
		} open;
		struct {
			uint32_t flags; /* F4_FSOPEN_* */
		} fsopen;
		/* SOURCE, MNTOPTS, MTABOPTS have text alone. */
		struct { /* text: path */
			uint16_t format; /* S_IFDIR, S_IFREG or 0 */
		} mountpoint;
		struct {
			uint32_t ms_flags; /* any bits: the helper masks */
		} mount;
		struct {
			uint32_t exit_code; /* any: the helper maps it to an exit status */
		} bye;
		struct {
			uint32_t error; /* positive errno, 0 = done */
		} reply;
		struct { /* text: source */
			uint32_t flags; /* F4_ATTACH_* */
			uint32_t max_read; /* bytes, 0 = default, else 4096 or more */
		} attach;
		struct { /* text: name of the mount point, one component, not "." or ".." */
			uint32_t flags; /* F4_DETACH_* */
		} detach;
		struct { /* text: explanation for a person; may be "" when error is 0 */
			uint32_t error; /* positive errno, 0 = done */
			uint16_t rule; /* enum f4_rule; 0 exactly when error is 0 */
		} answer;
	};
};

/*
 * f4_msg_decode - read one packet.
 * @bytes: the packet, any alignment; must outlive *@ret, whose text points into it
 * @len:   its bytes, any number
 * @ret:   written only on success
 * Checks, in this order: size, magic, size for that magic, trailing bytes, version, unknown flags,
 * reserved fields, string, value ranges.
 * Return: 0, or F4_MSG_E_*. A hello without a common version is F4_MSG_E_VERSION.
 */
int f4_msg_decode(const void *bytes, size_t len, struct f4_msg *ret);

/*
 * f4_msg_encode - write one packet.
 * @m:       borrowed; version fields are filled in as given; @m->text_len is ignored, the length
 *           is that of @m->text
 * @buf:     may not overlap @m->text
 * @size:    bytes in @buf; F4_WIRE_PACKET_MAX always suffices
 * @ret_len: bytes written
 * Return: 0; -ENOBUFS when @size is too small; -EINVAL when f4_msg_decode() would refuse the
 * result (text missing, empty or too long; value out of range): so nobody sends what nobody takes.
 */
int f4_msg_encode(const struct f4_msg *m, void *buf, size_t size, size_t *ret_len);

/* f4_msg_fds - the number of descriptors that must come with @m: no more, no fewer. */
unsigned int f4_msg_fds(const struct f4_msg *m);

/* f4_msg_fds_max - the largest number of descriptors that any @type message can carry. */
unsigned int f4_msg_fds_max(enum f4_msg_type type);

/* f4_msg_has_text - does a string follow the fixed part? */
bool f4_msg_has_text(enum f4_msg_type type);

/* f4_msg_name - the four letters of the magic, for messages to people; "?" for no type. */
const char *f4_msg_name(enum f4_msg_type type);

/* f4_msg_strerror - words for F4_MSG_E_*; never NULL. */
const char *f4_msg_strerror(int e);

/* f4_rule_name - a short stable word for @rule ("sticky", "mount-max"); "?" for none such. */
const char *f4_rule_name(unsigned int rule);

#endif
