/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Encode, decode, validate; the contract is in msg.h.
 *
 * decode: table row by magic, sizes, then the row's get() for the fixed part (version, flags,
 * reserved fields), then the string, then check_values(). encode: the row's put(), the string,
 * then decode on the result: there is one set of rules.
 */
#include "protocol/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/str.h"

enum text_rule {
	TEXT_NONE,
	TEXT_FULL,     /* at least one byte before the NUL */
	TEXT_OR_EMPTY,
};

/* The fixed part of any message, as bytes and as each layout. */
union fixed {
	struct f4_wire_hello hello;
	struct f4_wire_hello_reply hello_reply;
	struct f4_wire_file file;
	struct f4_wire_open open;
	struct f4_wire_fsopen fsopen;
	struct f4_wire_string string;
	struct f4_wire_mountpoint mountpoint;
	struct f4_wire_mount mount;
	struct f4_wire_bye bye;
	struct f4_wire_reply reply;
	struct f4_wire_attach attach;
	struct f4_wire_detach detach;
	struct f4_wire_answer answer;
	f4_be32 magic;
};

struct row {
	const char *name;
	uint32_t magic;
	uint16_t fixed_len; /* bytes */
	enum text_rule text;
	uint32_t text_max; /* bytes with the NUL */
	unsigned int fds_max;
	/* fixed part -> message: returns 0 or VERSION, FLAGS, RESERVED; NULL: the magic is all */
	int (*get)(const union fixed *w, struct f4_msg *m);
	void (*put)(const struct f4_msg *m, union fixed *w);
};

static int get_hello(const union fixed *w, struct f4_msg *m)
{
	m->hello.min_version = f4_get_be16(w->hello.min_version);
	m->hello.max_version = f4_get_be16(w->hello.max_version);
	m->hello.flags = f4_get_be32(w->hello.flags);
	if (m->hello.min_version > F4_WIRE_VERSION || m->hello.max_version < F4_WIRE_VERSION)
		return F4_MSG_E_VERSION;
	return m->hello.flags & ~F4_HELLO_FLAGS ? F4_MSG_E_FLAGS : 0;
}

static void put_hello(const struct f4_msg *m, union fixed *w)
{
	w->hello.min_version = f4_mk_be16(m->hello.min_version);
	w->hello.max_version = f4_mk_be16(m->hello.max_version);
	w->hello.flags = f4_mk_be32(m->hello.flags);
}

static int get_hello_reply(const union fixed *w, struct f4_msg *m)
{
	m->hello_reply.version = f4_get_be16(w->hello_reply.version);
	if (m->hello_reply.version != F4_WIRE_VERSION)
		return F4_MSG_E_VERSION;
	return f4_get_be16(w->hello_reply.reserved) ? F4_MSG_E_RESERVED : 0;
}

static void put_hello_reply(const struct f4_msg *m, union fixed *w)
{
	w->hello_reply.version = f4_mk_be16(m->hello_reply.version);
}

static int get_file(const union fixed *w, struct f4_msg *m)
{
	m->file.error = f4_get_be32(w->file.error);
	return 0;
}

static void put_file(const struct f4_msg *m, union fixed *w)
{
	w->file.error = f4_mk_be32(m->file.error);
}

static int get_open(const union fixed *w, struct f4_msg *m)
{
	m->open.open_flags = f4_get_be32(w->open.open_flags);
	m->open.create_mode = f4_get_be32(w->open.create_mode);
	m->open.request_flags = f4_get_be32(w->open.request_flags);
	m->open.block_size = f4_get_be32(w->open.block_size);
	return m->open.request_flags & ~F4_OPEN_FLAGS ? F4_MSG_E_FLAGS : 0;
}

static void put_open(const struct f4_msg *m, union fixed *w)
{
	w->open.open_flags = f4_mk_be32(m->open.open_flags);
	w->open.create_mode = f4_mk_be32(m->open.create_mode);
	w->open.request_flags = f4_mk_be32(m->open.request_flags);
	w->open.block_size = f4_mk_be32(m->open.block_size);
}

static int get_fsopen(const union fixed *w, struct f4_msg *m)
{
	m->fsopen.flags = f4_get_be32(w->fsopen.flags);
	return m->fsopen.flags & ~F4_FSOPEN_FLAGS ? F4_MSG_E_FLAGS : 0;
}

static void put_fsopen(const struct f4_msg *m, union fixed *w)
{
	w->fsopen.flags = f4_mk_be32(m->fsopen.flags);
}

static int get_mountpoint(const union fixed *w, struct f4_msg *m)
{
	m->mountpoint.format = f4_get_be16(w->mountpoint.format);
	return f4_get_be16(w->mountpoint.reserved) ? F4_MSG_E_RESERVED : 0;
}

static void put_mountpoint(const struct f4_msg *m, union fixed *w)
{
	w->mountpoint.format = f4_mk_be16(m->mountpoint.format);
}

static int get_mount(const union fixed *w, struct f4_msg *m)
{
	m->mount.ms_flags = f4_get_be32(w->mount.ms_flags);
	return 0;
}

static void put_mount(const struct f4_msg *m, union fixed *w)
{
	w->mount.ms_flags = f4_mk_be32(m->mount.ms_flags);
}

static int get_bye(const union fixed *w, struct f4_msg *m)
{
	m->bye.exit_code = f4_get_be32(w->bye.exit_code);
	return 0;
}

static void put_bye(const struct f4_msg *m, union fixed *w)
{
	w->bye.exit_code = f4_mk_be32(m->bye.exit_code);
}

static int get_reply(const union fixed *w, struct f4_msg *m)
{
	m->reply.error = f4_get_be32(w->reply.error);
	return 0;
}

static void put_reply(const struct f4_msg *m, union fixed *w)
{
	w->reply.error = f4_mk_be32(m->reply.error);
}

static int get_attach(const union fixed *w, struct f4_msg *m)
{
	m->attach.flags = f4_get_be32(w->attach.flags);
	m->attach.max_read = f4_get_be32(w->attach.max_read);
	if (f4_get_be16(w->attach.version) != F4_WIRE_ATTACH_VERSION)
		return F4_MSG_E_VERSION;
	if (m->attach.flags & ~F4_ATTACH_FLAGS)
		return F4_MSG_E_FLAGS;
	return f4_get_be16(w->attach.reserved) ? F4_MSG_E_RESERVED : 0;
}

static void put_attach(const struct f4_msg *m, union fixed *w)
{
	w->attach.version = f4_mk_be16(F4_WIRE_ATTACH_VERSION);
	w->attach.flags = f4_mk_be32(m->attach.flags);
	w->attach.max_read = f4_mk_be32(m->attach.max_read);
}

static int get_detach(const union fixed *w, struct f4_msg *m)
{
	m->detach.flags = f4_get_be32(w->detach.flags);
	if (f4_get_be16(w->detach.version) != F4_WIRE_ATTACH_VERSION)
		return F4_MSG_E_VERSION;
	if (m->detach.flags & ~F4_DETACH_FLAGS)
		return F4_MSG_E_FLAGS;
	return f4_get_be16(w->detach.reserved) ? F4_MSG_E_RESERVED : 0;
}

static void put_detach(const struct f4_msg *m, union fixed *w)
{
	w->detach.version = f4_mk_be16(F4_WIRE_ATTACH_VERSION);
	w->detach.flags = f4_mk_be32(m->detach.flags);
}

static int get_answer(const union fixed *w, struct f4_msg *m)
{
	m->answer.error = f4_get_be32(w->answer.error);
	m->answer.rule = f4_get_be16(w->answer.rule);
	return f4_get_be16(w->answer.reserved) ? F4_MSG_E_RESERVED : 0;
}

static void put_answer(const struct f4_msg *m, union fixed *w)
{
	w->answer.error = f4_mk_be32(m->answer.error);
	w->answer.rule = f4_mk_be16(m->answer.rule);
}

/* Options may fill the packet. */
#define OPTS_MAX (F4_WIRE_PACKET_MAX - (uint32_t)sizeof(struct f4_wire_string))
#define LEN(s)	 ((uint16_t)sizeof(struct f4_wire_##s))
#define ACCESSORS(s) .get = get_##s, .put = put_##s

static const struct row rows[] = {
	[F4_MSG_HELLO] = { "SAFT", F4_WIRE_HELLO, LEN(hello), ACCESSORS(hello) },
	[F4_MSG_HELLO_REPLY] = { "LAST", F4_WIRE_HELLO_REPLY, LEN(hello_reply),
				 ACCESSORS(hello_reply) },
	[F4_MSG_FILE] = { "FILE", F4_WIRE_FILE, LEN(file), TEXT_FULL, F4_WIRE_PATH_MAX, 1,
			  ACCESSORS(file) },
	[F4_MSG_OPEN] = { "OPEN", F4_WIRE_OPEN, LEN(open), TEXT_FULL, F4_WIRE_PATH_MAX,
			  ACCESSORS(open) },
	[F4_MSG_OPEN_BDEV] = { "BDEV", F4_WIRE_OPEN_BDEV, LEN(open), TEXT_FULL, F4_WIRE_PATH_MAX,
			       ACCESSORS(open) },
	[F4_MSG_FSOPEN] = { "TYPE", F4_WIRE_FSOPEN, LEN(fsopen), ACCESSORS(fsopen) },
	[F4_MSG_SOURCE] = { "NAME", F4_WIRE_SOURCE, LEN(string), TEXT_FULL, F4_WIRE_PATH_MAX,
			    .get = NULL },
	[F4_MSG_MOUNTPOINT] = { "MNTP", F4_WIRE_MOUNTPOINT, LEN(mountpoint), TEXT_FULL,
				F4_WIRE_PATH_MAX, ACCESSORS(mountpoint) },
	[F4_MSG_MNTOPTS] = { "OPTS", F4_WIRE_MNTOPTS, LEN(string), TEXT_FULL, OPTS_MAX, .get = NULL },
	[F4_MSG_MTABOPTS] = { "MTAB", F4_WIRE_MTABOPTS, LEN(string), TEXT_FULL, OPTS_MAX, .get = NULL },
	[F4_MSG_MOUNT] = { "DOIT", F4_WIRE_MOUNT, LEN(mount), ACCESSORS(mount) },
	[F4_MSG_BYE] = { "BYEE", F4_WIRE_BYE, LEN(bye), ACCESSORS(bye) },
	[F4_MSG_REPLY] = { "REPL", F4_WIRE_REPLY, LEN(reply), ACCESSORS(reply) },
	[F4_MSG_ATTACH] = { "ATCH", F4_WIRE_ATTACH, LEN(attach), TEXT_FULL, F4_WIRE_PATH_MAX, 3,
			    ACCESSORS(attach) },
	[F4_MSG_DETACH] = { "DTCH", F4_WIRE_DETACH, LEN(detach), TEXT_FULL, F4_WIRE_NAME_MAX, 1,
			    ACCESSORS(detach) },
	[F4_MSG_ANSWER] = { "ANSW", F4_WIRE_ANSWER, LEN(answer), TEXT_OR_EMPTY, F4_WIRE_TEXT_MAX,
			    ACCESSORS(answer) },
};
static_assert(F4_ARRAY_LEN(rows) == F4_MSG_MAX, "a row for each message");

static bool errno_ok(uint32_t e)
{
	return e <= F4_WIRE_ERRNO_MAX;
}

static bool open_ok(const struct f4_msg *m)
{
	uint32_t bs = m->open.block_size;

	if (m->open.create_mode > 0177777)
		return false;
	if (m->type == F4_MSG_OPEN)
		return bs == 0;
	return bs == 0 || (bs >= 512 && bs <= 1u << 20 && (bs & (bs - 1)) == 0);
}

static bool answer_ok(const struct f4_msg *m)
{
	if (!errno_ok(m->answer.error) || m->answer.rule >= F4_RULE_MAX)
		return false;
	if ((m->answer.error == 0) != (m->answer.rule == F4_RULE_NONE))
		return false;
	return m->answer.error == 0 || m->text_len > 0; /* a refusal says why */
}

/* One name below a directory: nothing that a lookup would walk through. */
static bool name_ok(const char *s)
{
	return !strchr(s, '/') && !f4_str_eq(s, ".") && !f4_str_eq(s, "..");
}

static bool values_ok(const struct f4_msg *m)
{
	switch (m->type) {
	case F4_MSG_FILE:
		return errno_ok(m->file.error);
	case F4_MSG_OPEN:
	case F4_MSG_OPEN_BDEV:
		return open_ok(m);
	case F4_MSG_MOUNTPOINT:
		return m->mountpoint.format == 0 || m->mountpoint.format == S_IFDIR ||
		       m->mountpoint.format == S_IFREG;
	case F4_MSG_REPLY:
		return errno_ok(m->reply.error);
	case F4_MSG_ATTACH:
		return m->attach.max_read == 0 || m->attach.max_read >= 4096;
	case F4_MSG_DETACH:
		return name_ok(m->text);
	case F4_MSG_ANSWER:
		return answer_ok(m);
	case F4_MSG_HELLO: /* ranges were checked with the version */
	case F4_MSG_HELLO_REPLY:
	case F4_MSG_FSOPEN:
	case F4_MSG_SOURCE:
	case F4_MSG_MNTOPTS:
	case F4_MSG_MTABOPTS:
	case F4_MSG_MOUNT:
	case F4_MSG_BYE:
		return true;
	case F4_MSG_MAX:
		break;
	}
	return false;
}

static int find_row(uint32_t magic, enum f4_msg_type *ret)
{
	for (unsigned int t = 0; t < F4_MSG_MAX; t++) {
		if (rows[t].magic == magic) {
			*ret = (enum f4_msg_type)t;
			return 0;
		}
	}
	return F4_MSG_E_MAGIC;
}

/* The string that fills the rest of the packet: @len bytes at @text. */
static int take_text(const struct row *row, const char *text, size_t len, struct f4_msg *m)
{
	if (row->text == TEXT_NONE)
		return 0;
	if (len > row->text_max || memchr(text, '\0', len) != text + len - 1)
		return F4_MSG_E_STRING;
	if (len == 1 && row->text == TEXT_FULL)
		return F4_MSG_E_STRING;
	m->text = text;
	m->text_len = (uint32_t)(len - 1);
	return 0;
}

int f4_msg_decode(const void *bytes, size_t len, struct f4_msg *ret)
{
	struct f4_msg m = { 0 };
	union fixed w = { 0 };
	const struct row *row;
	int r;

	if (len < sizeof(w.magic) || len > F4_WIRE_PACKET_MAX)
		return F4_MSG_E_SIZE;
	r = find_row(f4_load_be32(bytes), &m.type);
	if (r != 0)
		return r;
	row = &rows[m.type];
	if (len < row->fixed_len + (size_t)(row->text != TEXT_NONE))
		return F4_MSG_E_SIZE;
	if (row->text == TEXT_NONE && len > row->fixed_len)
		return F4_MSG_E_TRAILING;
	memcpy(&w, bytes, row->fixed_len);
	r = row->get ? row->get(&w, &m) : 0;
	if (r != 0)
		return r;
	r = take_text(row, (const char *)bytes + row->fixed_len, len - row->fixed_len, &m);
	if (r != 0)
		return r;
	if (!values_ok(&m))
		return F4_MSG_E_VALUE;
	*ret = m;
	return 0;
}

int f4_msg_encode(const struct f4_msg *m, void *buf, size_t size, size_t *ret_len)
{
	size_t len, text_len = 0;
	const struct row *row;
	union fixed w = { 0 };
	struct f4_msg check;

	if ((unsigned int)m->type >= F4_MSG_MAX)
		return -EINVAL;
	row = &rows[m->type];
	if ((row->text != TEXT_NONE) != (m->text != NULL))
		return -EINVAL;
	if (m->text)
		text_len = strlen(m->text) + 1;
	if (text_len > F4_WIRE_PACKET_MAX)
		return -EINVAL;
	len = row->fixed_len + text_len;
	if (len > size)
		return -ENOBUFS;
	w.magic = f4_mk_be32(row->magic);
	if (row->put)
		row->put(m, &w);
	memcpy(buf, &w, row->fixed_len);
	if (text_len > 0)
		memcpy((char *)buf + row->fixed_len, m->text, text_len);
	if (f4_msg_decode(buf, len, &check) != 0)
		return -EINVAL;
	*ret_len = len;
	return 0;
}

unsigned int f4_msg_fds_max(enum f4_msg_type type)
{
	return (unsigned int)type < F4_MSG_MAX ? rows[type].fds_max : 0;
}

unsigned int f4_msg_fds(const struct f4_msg *m)
{
	if (m->type == F4_MSG_FILE)
		return m->file.error == 0 ? 1 : 0;
	if (m->type == F4_MSG_ATTACH)
		return m->attach.flags & F4_ATTACH_SOURCE_FD ? 3 : 2;
	return f4_msg_fds_max(m->type);
}

bool f4_msg_has_text(enum f4_msg_type type)
{
	return (unsigned int)type < F4_MSG_MAX && rows[type].text != TEXT_NONE;
}

const char *f4_msg_name(enum f4_msg_type type)
{
	return (unsigned int)type < F4_MSG_MAX ? rows[type].name : "?";
}

const char *f4_msg_strerror(int e)
{
	static const char *const words[F4_MSG_E_MAX] = {
		[0] = "well-formed",
		[F4_MSG_E_SIZE] = "wrong size",
		[F4_MSG_E_MAGIC] = "unknown message",
		[F4_MSG_E_VERSION] = "no protocol version in common",
		[F4_MSG_E_FLAGS] = "unknown flag",
		[F4_MSG_E_RESERVED] = "reserved field not zero",
		[F4_MSG_E_STRING] = "malformed string",
		[F4_MSG_E_VALUE] = "value out of range",
		[F4_MSG_E_TRAILING] = "bytes after the end of the message",
		[F4_MSG_E_STATE] = "message out of turn",
		[F4_MSG_E_TWICE] = "message repeated",
	};

	return e >= 0 && e < F4_MSG_E_MAX && words[e] ? words[e] : "unknown protocol error";
}

const char *f4_rule_name(unsigned int rule)
{
	static const char *const names[] = {
		[F4_RULE_NONE] = "none",
		[F4_RULE_PROTOCOL] = "protocol",
		[F4_RULE_FUSE_FD] = "fuse-descriptor",
		[F4_RULE_MOUNT_POINT] = "mount-point",
		[F4_RULE_WRITABLE] = "writable",
		[F4_RULE_STICKY] = "sticky",
		[F4_RULE_FS_TYPE] = "filesystem-type",
		[F4_RULE_NAMESPACE] = "mount-namespace",
		[F4_RULE_ALLOW_OTHER] = "allow-other",
		[F4_RULE_MOUNT_MAX] = "mount-max",
		[F4_RULE_RATE] = "rate",
		[F4_RULE_OPTION] = "option",
		[F4_RULE_SOURCE] = "source",
		[F4_RULE_DEADLINE] = "deadline",
		[F4_RULE_NOT_OURS] = "not-ours",
		[F4_RULE_OWNER] = "owner",
		[F4_RULE_TOPMOST] = "topmost",
		[F4_RULE_BUSY] = "busy",
		[F4_RULE_ACCESS] = "access",
		[F4_RULE_KERNEL] = "kernel",
	};
	static_assert(F4_ARRAY_LEN(names) == F4_RULE_MAX, "a name for each rule");

	return rule < F4_RULE_MAX ? names[rule] : "?";
}
