/* SPDX-License-Identifier: GPL-2.0-or-later */
/* POSIX ACLs: both forms, what is refused, and the rules between ACL and mode. */
#include <errno.h>
#include <stdint.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/endian.h"
#include "server/ext4/acl.h"
#include "tests/lib/check.h"

/* An ACL in a line: tags and permissions, "u:rwx U1000:r-- g:r-x G7:--x m:rwx o:---". */
static size_t xattr_from_text(const char *text, uint8_t *buf)
{
	size_t len = 4;

	f4_store_le32(buf, 2);
	while (*text) {
		static const char letters[] = "uUgGmo";
		uint32_t id = UINT32_MAX;
		uint16_t tag = (uint16_t)(1u << (strchr(letters, *text) - letters)), perm = 0;
		char *end;

		text++;
		if (*text != ':') {
			id = (uint32_t)strtoul(text, &end, 10);
			text = end;
		}
		text++;
		for (int i = 0; i < 3; i++)
			perm |= text[i] != '-' ? (uint16_t)(4 >> i) : 0;
		text += 3;
		if (*text == ' ')
			text++;
		f4_store_le16(buf + len, tag);
		f4_store_le16(buf + len + 2, perm);
		f4_store_le32(buf + len + 4, id);
		len += 8;
	}
	return len;
}

static struct f4_acl *parse(const char *text)
{
	uint8_t buf[256];
	struct f4_acl *acl = NULL;
	size_t len = xattr_from_text(text, buf);

	if (f4_acl_from_xattr(buf, len, &acl) != 0)
		return NULL;
	return acl;
}

static void goes_round(void)
{
	static const char *const texts[] = {
		"u:rwx g:r-x o:r--",
		"u:rwx g:r-x m:rwx o:---",
		"u:rw- U1000:r-- U1001:rwx g:r-x G7:--x G8:-w- m:rwx o:---",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		uint8_t buf[256], back[256];
		size_t len = xattr_from_text(texts[i], buf), disk_len = 0;
		f4_auto_free struct f4_acl *acl = parse(texts[i]), *again = NULL;
		f4_auto_free void *disk = NULL;

		TEST_REQUIRE(acl);
		TEST_EQ(f4_acl_to_disk(acl, &disk, &disk_len), 0);
		TEST_EQ(f4_acl_from_disk(disk, disk_len, &again), 0);
		TEST_REQUIRE(again);
		TEST_EQ(f4_acl_xattr_size(again), len);
		f4_acl_to_xattr(again, back);
		TEST_CHECK(memcmp(buf, back, len) == 0);
	}
}

/* The bytes that ext4 has for user::rw-, user:1000:r--, group::r--, mask::r--, other::--- */
static void disk_bytes(void)
{
	static const uint8_t want[] = {
		1, 0, 0, 0, 1, 0, 6, 0, 2, 0, 4, 0, 0xe8, 3, 0, 0,
		4, 0, 4, 0, 0x10, 0, 4, 0, 0x20, 0, 0, 0,
	};
	f4_auto_free struct f4_acl *acl = parse("u:rw- U1000:r-- g:r-- m:r-- o:---");
	f4_auto_free void *disk = NULL;
	size_t len = 0;

	TEST_REQUIRE(acl);
	TEST_EQ(f4_acl_to_disk(acl, &disk, &len), 0);
	TEST_EQ(len, sizeof(want));
	TEST_CHECK(len == sizeof(want) && memcmp(disk, want, len) == 0);
}

static void refuses(void)
{
	static const char *const bad[] = {
		"u:rwx g:r-x",			   /* no other */
		"g:r-x o:r--",			   /* no owner */
		"u:rwx U1:rwx g:r-x o:r--",	   /* named, no mask */
		"u:rwx u:rwx g:r-x o:r--",	   /* twice */
		"u:rwx g:r-x m:rwx m:rwx o:r--",   /* twice */
		"g:r-x u:rwx o:r--",		   /* order */
		"u:rwx U4294967295:rwx g:r-x m:rwx o:r--", /* no such user */
	};
	uint8_t buf[256];
	struct f4_acl *acl = NULL;
	size_t len;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		len = xattr_from_text(bad[i], buf);
		if (f4_acl_from_xattr(buf, len, &acl) != -EINVAL)
			TEST_FAIL_("accepted: %s", bad[i]);
	}
	len = xattr_from_text("u:rwx g:r-x o:r--", buf);
	for (size_t cut = 0; cut < len; cut++) {
		if (cut != 4) /* a version alone is an empty list */
			TEST_CHECK(f4_acl_from_xattr(buf, cut, &acl) == -EINVAL);
	}
	TEST_EQ(f4_acl_from_xattr(buf, 4, &acl), 0);
	TEST_CHECK(acl == NULL);
	f4_store_le16(buf + 6, 8);
	TEST_EQ(f4_acl_from_xattr(buf, len, &acl), -EINVAL);
	f4_store_le16(buf + 6, 7);
	f4_store_le16(buf + 4, 0x40);
	TEST_EQ(f4_acl_from_xattr(buf, len, &acl), -EINVAL);
	f4_store_le32(buf, 3);
	TEST_EQ(f4_acl_from_xattr(buf, len, &acl), -EOPNOTSUPP);
}

/* Any bytes: refused as corrupt, or a whole ACL; the sanitizers watch. */
static void survives_noise(void)
{
	uint32_t seed = 7, good = 0;

	for (int round = 0; round < 200000; round++) {
		uint8_t buf[40];
		f4_auto_free struct f4_acl *acl = NULL;
		size_t len = round % 2 ? 16 : (size_t)round / 2 % sizeof(buf);
		int r;

		for (size_t i = 0; i < sizeof(buf); i++) {
			seed = seed * 1103515245u + 12345u;
			buf[i] = (uint8_t)(i % 2 ? 0 : (1u << ((seed >> 16) % 6)));
		}
		f4_store_le32(buf, 1);
		r = f4_acl_from_disk(buf, len, &acl);
		TEST_CHECK(r == 0 || r == -EUCLEAN);
		good += acl != NULL;
	}
	TEST_CHECK(good > 10);
}

static void modes(void)
{
	static const struct {
		const char *acl;
		uint16_t mode;
		bool only_mode;
	} cases[] = {
		{ "u:rwx g:r-x o:r--", 0754, true },
		{ "u:--- g:--- o:rwx", 0007, true },
		{ "u:rw- U5:rwx g:r-- m:-w- o:--x", 0621, false },
		{ "u:rw- g:r-- m:-w- o:--x", 0621, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f4_auto_free struct f4_acl *acl = parse(cases[i].acl);
		uint16_t mode = 0;

		TEST_REQUIRE(acl);
		TEST_EQ(f4_acl_to_mode(acl, &mode), cases[i].only_mode);
		TEST_EQ(mode, cases[i].mode);
	}
}

/* Cases from POSIX 1003.1e's rule for new files, worked out by hand. */
static void new_inodes(void)
{
	static const struct {
		const char *dflt;
		uint16_t asked, mode;
		const char *access; /* NULL: the mode says it all */
	} cases[] = {
		{ "u:rwx g:r-x o:r--", 0100666, 0100644, NULL },
		{ "u:rwx g:rwx o:---", 0042775, 0042770, NULL },
		{ "u:rw- U5:rwx g:rwx m:rwx o:r--", 0100644, 0100644,
		  "u:rw- U5:rwx g:rwx m:r-- o:r--" },
		{ "u:rwx U5:rwx g:rwx m:r-x o:r--", 0040777, 0040754,
		  "u:rwx U5:rwx g:rwx m:r-x o:r--" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f4_auto_free struct f4_acl *acl = parse(cases[i].dflt);
		uint16_t mode = cases[i].asked;
		uint8_t got[256], want[256];

		TEST_REQUIRE(acl);
		TEST_EQ(f4_acl_mask_new(acl, &mode), cases[i].access == NULL);
		TEST_EQ(mode, cases[i].mode);
		if (!cases[i].access)
			continue;
		TEST_EQ(f4_acl_xattr_size(acl), xattr_from_text(cases[i].access, want));
		f4_acl_to_xattr(acl, got);
		TEST_CHECK(memcmp(got, want, f4_acl_xattr_size(acl)) == 0);
	}
}

static void chmod_follows(void)
{
	f4_auto_free struct f4_acl *acl = parse("u:rw- U5:rwx g:r-- m:-w- o:--x");
	uint8_t got[256], want[256];
	size_t len = xattr_from_text("u:rwx U5:rwx g:r-- m:r-x o:---", want);

	TEST_REQUIRE(acl);
	f4_acl_set_mode(acl, 0100750);
	f4_acl_to_xattr(acl, got);
	TEST_EQ(f4_acl_xattr_size(acl), len);
	TEST_CHECK(memcmp(got, want, len) == 0);
}

int main(void)
{
	TEST_RUN(goes_round);
	TEST_RUN(disk_bytes);
	TEST_RUN(refuses);
	TEST_RUN(survives_noise);
	TEST_RUN(modes);
	TEST_RUN(new_inodes);
	TEST_RUN(chmod_follows);
	return test_done();
}
