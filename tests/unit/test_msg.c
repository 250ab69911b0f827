/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Messages byte for byte, in both directions, and every way to get one wrong. */
#include "protocol/msg.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "tests/lib/check.h"

/* @s as bytes without the NUL that the compiler adds: strings in packets end with \0 explicitly. */
#define BYTES(s) s, sizeof(s) - 1

static const struct {
	struct f4_msg m;
	const char *bytes;
	size_t len;
	unsigned int fds;
} good[] = {
	{ { .type = F4_MSG_HELLO, .hello = { 1, 1, F4_HELLO_ALLOW_OTHER | F4_HELLO_FUSEBLK } },
	  BYTES("SAFT\0\1\0\1\0\0\0\3"), 0 },
	{ { .type = F4_MSG_HELLO, .hello = { 0, 0x102, 0 } },
	  BYTES("SAFT\0\0\1\2\0\0\0\0"), 0 },
	{ { .type = F4_MSG_HELLO_REPLY, .hello_reply = { 1 } }, BYTES("LAST\0\1\0\0"), 0 },
	{ { .type = F4_MSG_FILE, .text = "argv", .file = { 0 } },
	  BYTES("FILE\0\0\0\0argv\0"), 1 },
	{ { .type = F4_MSG_FILE, .text = "/dev/sdb1", .file = { EACCES } },
	  BYTES("FILE\0\0\0\15/dev/sdb1\0"), 0 },
	{ { .type = F4_MSG_OPEN, .text = "/img",
	    .open = { O_RDWR | 0x80000, 0600, F4_OPEN_QUIET, 0 } },
	  BYTES("OPEN\0\10\0\2\0\0\1\200\0\0\0\1\0\0\0\0/img\0"), 0 },
	{ { .type = F4_MSG_OPEN_BDEV, .text = "/dev/vda", .open = { O_RDONLY, 0, 0, 4096 } },
	  BYTES("BDEV\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0/dev/vda\0"), 0 },
	{ { .type = F4_MSG_FSOPEN, .fsopen = { F4_FSOPEN_FUSEBLK } }, BYTES("TYPE\0\0\0\1"), 0 },
	{ { .type = F4_MSG_FSOPEN, .fsopen = { 0 } }, BYTES("TYPE\0\0\0\0"), 0 },
	{ { .type = F4_MSG_SOURCE, .text = "/dev/sdb1" }, BYTES("NAME/dev/sdb1\0"), 0 },
	{ { .type = F4_MSG_MOUNTPOINT, .text = "/mnt", .mountpoint = { S_IFDIR } },
	  BYTES("MNTP\100\0\0\0/mnt\0"), 0 },
	{ { .type = F4_MSG_MOUNTPOINT, .text = "f", .mountpoint = { S_IFREG } },
	  BYTES("MNTP\200\0\0\0f\0"), 0 },
	{ { .type = F4_MSG_MNTOPTS, .text = "allow_other,max_read=131072" },
	  BYTES("OPTSallow_other,max_read=131072\0"), 0 },
	{ { .type = F4_MSG_MTABOPTS, .text = "-n" }, BYTES("MTAB-n\0"), 0 },
	{ { .type = F4_MSG_MOUNT, .mount = { MS_NOSUID | MS_NODEV | MS_LAZYTIME } },
	  BYTES("DOIT\2\0\0\6"), 0 },
	{ { .type = F4_MSG_BYE, .bye = { 32 } }, BYTES("BYEE\0\0\0\40"), 0 },
	{ { .type = F4_MSG_REPLY, .reply = { EINVAL } }, BYTES("REPL\0\0\0\26"), 0 },
	{ { .type = F4_MSG_ATTACH, .text = "disk.img",
	    .attach = { F4_ATTACH_RDONLY | F4_ATTACH_DEFAULT_PERMISSIONS, 0x20000 } },
	  BYTES("ATCH\0\1\0\0\0\0\2\1\0\2\0\0disk.img\0"), 2 },
	{ { .type = F4_MSG_ATTACH, .text = "/dev/sdb1", .attach = { F4_ATTACH_SOURCE_FD, 0 } },
	  BYTES("ATCH\0\1\0\0\0\0\4\0\0\0\0\0/dev/sdb1\0"), 3 },
	{ { .type = F4_MSG_DETACH, .text = "mnt", .detach = { F4_DETACH_LAZY } },
	  BYTES("DTCH\0\1\0\0\0\0\0\1mnt\0"), 1 },
	{ { .type = F4_MSG_DETACH, .text = "...", .detach = { 0 } },
	  BYTES("DTCH\0\1\0\0\0\0\0\0...\0"), 1 },
	{ { .type = F4_MSG_ANSWER, .text = "", .answer = { 0, 0 } },
	  BYTES("ANSW\0\0\0\0\0\0\0\0\0"), 0 },
	{ { .type = F4_MSG_ANSWER, .text = "not yours", .answer = { EPERM, F4_RULE_STICKY } },
	  BYTES("ANSW\0\0\0\1\0\5\0\0not yours\0"), 0 },
};

/* Every message has a vector, the magics are the letters of their names. */
static void all_covered(void)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++) {
		seen |= 1u << good[i].m.type;
		TEST_CHECK(memcmp(good[i].bytes, f4_msg_name(good[i].m.type), 4) == 0);
	}
	TEST_EQ(seen, (1u << F4_MSG_MAX) - 1);
}

static void encode_vectors(void)
{
	unsigned char buf[256];

	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++) {
		size_t len = 0;

		memset(buf, 0xee, sizeof(buf));
		TEST_EQ(f4_msg_encode(&good[i].m, buf, sizeof(buf), &len), 0);
		TEST_EQ(len, good[i].len);
		TEST_CHECK(memcmp(buf, good[i].bytes, good[i].len) == 0);
		TEST_EQ(buf[good[i].len], 0xee);
		TEST_EQ(f4_msg_encode(&good[i].m, buf, good[i].len, &len), 0);
		TEST_EQ(f4_msg_encode(&good[i].m, buf, good[i].len - 1, &len), -ENOBUFS);
	}
}

/* Decoding fills the fields: encoding what was decoded gives the same bytes, field by field. */
static void decode_vectors(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++) {
		struct f4_msg m = { 0 };
		struct f4_msg want = good[i].m;

		TEST_EQ(f4_msg_decode(good[i].bytes, good[i].len, &m), 0);
		TEST_EQ(m.type, want.type);
		TEST_EQ(f4_msg_has_text(m.type), m.text != NULL);
		TEST_EQ(m.text != NULL, want.text != NULL);
		if (m.text && want.text) {
			TEST_STREQ(m.text, want.text);
			TEST_EQ(m.text_len, strlen(want.text));
		}
		TEST_CHECK(memcmp(&m.open, &want.open, sizeof(m.open)) == 0);
		TEST_EQ(f4_msg_fds(&m), good[i].fds);
		TEST_CHECK(f4_msg_fds(&m) <= f4_msg_fds_max(m.type));
	}
}

/* A packet cut anywhere, or with anything after its end, is no packet. */
static void lengths(void)
{
	char buf[256];
	struct f4_msg m;

	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++) {
		for (size_t n = 0; n < good[i].len; n++)
			TEST_CHECK(f4_msg_decode(good[i].bytes, n, &m) != 0);
		memcpy(buf, good[i].bytes, good[i].len);
		for (int c = 0; c < 2; c++) {
			buf[good[i].len] = c ? 'x' : '\0';
			TEST_EQ(f4_msg_decode(buf, good[i].len + 1, &m),
				good[i].m.text ? F4_MSG_E_STRING : F4_MSG_E_TRAILING);
		}
	}
}

static void refused(void)
{
	static const struct {
		int e;
		const char *bytes;
		size_t len;
	} bad[] = {
		{ F4_MSG_E_SIZE, BYTES("") },
		{ F4_MSG_E_SIZE, BYTES("SAF") },
		{ F4_MSG_E_SIZE, BYTES("SAFT") },
		{ F4_MSG_E_SIZE, BYTES("SAFT\0\1\0\1\0\0\0") },
		{ F4_MSG_E_SIZE, BYTES("NAME") },
		{ F4_MSG_E_SIZE, BYTES("OPEN\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
		{ F4_MSG_E_MAGIC, BYTES("UMNT/mnt\0") },
		{ F4_MSG_E_MAGIC, BYTES("TFAS\0\1\0\1\0\0\0\0") },
		{ F4_MSG_E_MAGIC, BYTES("\0\0\0\0") },
		{ F4_MSG_E_TRAILING, BYTES("REPL\0\0\0\0\0") },
		{ F4_MSG_E_VERSION, BYTES("SAFT\0\2\0\3\0\0\0\0") }, /* too new */
		{ F4_MSG_E_VERSION, BYTES("SAFT\0\0\0\0\0\0\0\0") }, /* too old */
		{ F4_MSG_E_VERSION, BYTES("SAFT\0\2\0\1\0\0\0\0") }, /* the wrong way round */
		{ F4_MSG_E_VERSION, BYTES("SAFT\0\2\0\3\377\0\0\0") }, /* before its flags */
		{ F4_MSG_E_VERSION, BYTES("LAST\0\2\0\0") },
		{ F4_MSG_E_VERSION, BYTES("LAST\0\0\0\0") },
		{ F4_MSG_E_VERSION, BYTES("ATCH\0\2\0\0\0\0\0\0\0\0\0\0s\0") },
		{ F4_MSG_E_VERSION, BYTES("DTCH\0\0\0\0\0\0\0\0m\0") },
		{ F4_MSG_E_FLAGS, BYTES("SAFT\0\1\0\1\0\0\0\4") },
		{ F4_MSG_E_FLAGS, BYTES("OPEN\0\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0/a\0") },
		{ F4_MSG_E_FLAGS, BYTES("TYPE\200\0\0\0") },
		{ F4_MSG_E_FLAGS, BYTES("ATCH\0\1\0\1\0\0\10\0\0\0\0\0s\0") }, /* before reserved */
		{ F4_MSG_E_FLAGS, BYTES("DTCH\0\1\0\0\0\0\0\2m\0") },
		{ F4_MSG_E_RESERVED, BYTES("LAST\0\1\0\1") },
		{ F4_MSG_E_RESERVED, BYTES("MNTP\100\0\1\0/mnt\0") },
		{ F4_MSG_E_RESERVED, BYTES("MNTP\1\0\1\0/mnt") }, /* before string and value */
		{ F4_MSG_E_RESERVED, BYTES("ATCH\0\1\1\0\0\0\0\0\0\0\0\0s\0") },
		{ F4_MSG_E_RESERVED, BYTES("DTCH\0\1\0\1\0\0\0\0m\0") },
		{ F4_MSG_E_RESERVED, BYTES("ANSW\0\0\0\0\0\0\0\1\0") },
		{ F4_MSG_E_STRING, BYTES("NAME\0") },			/* empty */
		{ F4_MSG_E_STRING, BYTES("NAMEabc") },			/* no NUL */
		{ F4_MSG_E_STRING, BYTES("NAMEa\0c\0") },		/* one inside */
		{ F4_MSG_E_STRING, BYTES("FILE\0\0\0\0\0\0") },
		{ F4_MSG_E_STRING, BYTES("FILE\377\0\0\0a") }, /* before its value */
		{ F4_MSG_E_VALUE, BYTES("FILE\0\0\20\0a\0") },		/* errno 4096 */
		{ F4_MSG_E_VALUE, BYTES("REPL\377\377\377\352") },	/* a negative errno */
		{ F4_MSG_E_VALUE, BYTES("MNTP\140\0\0\0/mnt\0") },	/* S_IFBLK */
		{ F4_MSG_E_VALUE, BYTES("MNTP\100\1\0\0/mnt\0") },
		{ F4_MSG_E_VALUE, BYTES("OPEN\0\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0/a\0") }, /* mode */
		{ F4_MSG_E_VALUE, BYTES("OPEN\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0/a\0") }, /* size */
		{ F4_MSG_E_VALUE, BYTES("BDEV\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0/a\0") }, /* 256 */
		{ F4_MSG_E_VALUE, BYTES("BDEV\0\0\0\0\0\0\0\0\0\0\0\0\0\0\30\0/a\0") }, /* 6144 */
		{ F4_MSG_E_VALUE, BYTES("BDEV\0\0\0\0\0\0\0\0\0\0\0\0\0\40\0\0/a\0") }, /* 2 MiB */
		{ F4_MSG_E_VALUE, BYTES("ATCH\0\1\0\0\0\0\0\0\0\0\17\377s\0") },
		{ F4_MSG_E_STRING, BYTES("DTCH\0\1\0\0\0\0\0\0\0") },
		{ F4_MSG_E_VALUE, BYTES("DTCH\0\1\0\0\0\0\0\0.\0") },
		{ F4_MSG_E_VALUE, BYTES("DTCH\0\1\0\0\0\0\0\0..\0") },
		{ F4_MSG_E_VALUE, BYTES("DTCH\0\1\0\0\0\0\0\0a/b\0") },
		{ F4_MSG_E_VALUE, BYTES("DTCH\0\1\0\0\0\0\0\0/\0") },
		{ F4_MSG_E_VALUE, BYTES("ANSW\0\0\0\1\0\0\0\0no\0") }, /* refused by no rule */
		{ F4_MSG_E_VALUE, BYTES("ANSW\0\0\0\0\0\5\0\0no\0") }, /* by a rule, without error */
		{ F4_MSG_E_VALUE, BYTES("ANSW\0\0\0\1\0\377\0\0no\0") }, /* by an unknown one */
		{ F4_MSG_E_VALUE, BYTES("ANSW\0\0\0\1\0\5\0\0\0") }, /* without a word */
	};
	static const struct f4_msg sentinel = { .type = F4_MSG_BYE, .bye = { 77 } };

	for (size_t i = 0; i < F4_ARRAY_LEN(bad); i++) {
		struct f4_msg m = sentinel;
		int e = f4_msg_decode(bad[i].bytes, bad[i].len, &m);

		if (e != bad[i].e)
			TEST_FAIL_("row %zu: %s, expected %s", i, f4_msg_strerror(e),
				   f4_msg_strerror(bad[i].e));
		TEST_EQ(m.bye.exit_code, 77); /* untouched */
	}
}

/* The limits: the longest string passes, one byte more does not, in either direction. */
static void limits(void)
{
	static char packet[F4_WIRE_PACKET_MAX + 2], text[F4_WIRE_PACKET_MAX + 2];
	static const struct {
		enum f4_msg_type type;
		size_t max; /* bytes with the NUL */
	} t[] = {
		{ F4_MSG_FILE, 4096 },	 { F4_MSG_OPEN, 4096 },	   { F4_MSG_OPEN_BDEV, 4096 },
		{ F4_MSG_SOURCE, 4096 }, { F4_MSG_MOUNTPOINT, 4096 }, { F4_MSG_MNTOPTS, 65532 },
		{ F4_MSG_MTABOPTS, 65532 }, { F4_MSG_ATTACH, 4096 },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_msg m = { .type = t[i].type, .text = text }, back;
		size_t len = 0;

		memset(text, 'p', sizeof(text));
		text[t[i].max - 1] = '\0';
		TEST_EQ(f4_msg_encode(&m, packet, sizeof(packet), &len), 0);
		TEST_CHECK(len <= F4_WIRE_PACKET_MAX);
		packet[len - 1] = 'p';
		packet[len] = '\0';
		TEST_CHECK(f4_msg_decode(packet, len + 1, &back) != 0);
		text[t[i].max - 1] = 'p';
		text[t[i].max] = '\0';
		TEST_EQ(f4_msg_encode(&m, packet, sizeof(packet), &len), -EINVAL);
	}
	memset(packet, 0, sizeof(packet));
	memcpy(packet, "OPTS", 4);
	TEST_EQ(f4_msg_decode(packet, F4_WIRE_PACKET_MAX + 1, &(struct f4_msg){ 0 }),
		F4_MSG_E_SIZE);
}

static void encode_refuses(void)
{
	static const struct f4_msg bad[] = {
		{ .type = F4_MSG_MAX },
		{ .type = F4_MSG_SOURCE },				 /* no text */
		{ .type = F4_MSG_SOURCE, .text = "" },
		{ .type = F4_MSG_REPLY, .text = "x" },			 /* has none */
		{ .type = F4_MSG_REPLY, .reply = { 4096 } },
		{ .type = F4_MSG_REPLY, .reply = { (uint32_t)-EINVAL } },
		{ .type = F4_MSG_HELLO, .hello = { 2, 2, 0 } },
		{ .type = F4_MSG_HELLO_REPLY, .hello_reply = { 0 } },
		{ .type = F4_MSG_FSOPEN, .fsopen = { 2 } },
		{ .type = F4_MSG_ANSWER, .text = "why", .answer = { EPERM, 0 } },
	};
	char buf[256];

	for (size_t i = 0; i < F4_ARRAY_LEN(bad); i++) {
		size_t len = 4711;

		TEST_EQ(f4_msg_encode(&bad[i], buf, sizeof(buf), &len), -EINVAL);
		TEST_EQ(len, 4711);
	}
}

/* Decoding looks at nothing beyond its bytes and needs no alignment (ASan and UBSan watch). */
static void exact_buffers(void)
{
	for (size_t i = 0; i < F4_ARRAY_LEN(good); i++) {
		for (size_t shift = 0; shift < 4; shift++) {
			f4_auto_free char *p = malloc(good[i].len + shift);
			struct f4_msg m;

			memcpy(p + shift, good[i].bytes, good[i].len);
			TEST_EQ(f4_msg_decode(p + shift, good[i].len, &m), 0);
		}
	}
}

static void words(void)
{
	for (int e = 1; e < F4_MSG_E_MAX; e++)
		TEST_CHECK(strcmp(f4_msg_strerror(e), "unknown protocol error") != 0);
	TEST_STREQ(f4_msg_strerror(-1), "unknown protocol error");
	TEST_STREQ(f4_msg_strerror(F4_MSG_E_MAX), "unknown protocol error");
	TEST_STREQ(f4_msg_name(F4_MSG_MAX), "?");
	TEST_STREQ(f4_rule_name(F4_RULE_MOUNT_MAX), "mount-max");
	TEST_STREQ(f4_rule_name(F4_RULE_MAX), "?");
}

/* PROTOCOL.md has every message and every rule, under its number and name. */
static void documented(void)
{
	const char *src = getenv("F4_SRC");
	f4_auto_free char *doc = NULL;
	char path[512], want[64];
	size_t len = 0;
	f4_auto_fd fd = -1;

	snprintf(path, sizeof(path), "%s/protocol/PROTOCOL.md", src ? src : ".");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	TEST_REQUIRE(f4_fd_slurp(fd, 1 << 20, &doc, &len) == 0);
	for (unsigned int t = 0; t < F4_MSG_MAX; t++) {
		snprintf(want, sizeof(want), "`%s`", f4_msg_name(t));
		if (!strstr(doc, want))
			TEST_FAIL_("no %s", want);
	}
	for (unsigned int r = 1; r < F4_RULE_MAX; r++) {
		snprintf(want, sizeof(want), "\n| %u | %s |", r, f4_rule_name(r));
		if (!strstr(doc, want))
			TEST_FAIL_("no row%s", want);
	}
}

int main(void)
{
	TEST_RUN(all_covered);
	TEST_RUN(encode_vectors);
	TEST_RUN(decode_vectors);
	TEST_RUN(lengths);
	TEST_RUN(refused);
	TEST_RUN(limits);
	TEST_RUN(encode_refuses);
	TEST_RUN(exact_buffers);
	TEST_RUN(words);
	TEST_RUN(documented);
	return test_done();
}
