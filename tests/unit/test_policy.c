/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's rules, each both ways, from made-up facts: no rights needed. */
#include "helper/policy.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "tests/lib/check.h"

#define EXT4  0xef53
#define TMPFS 0x01021994
#define PROC  0x9fa0

static const struct f4_policy defaults = {
	.fuse = { .user_allow_other = false, .mount_max = 1000 },
	.user_mounts = F4_POLICY_USER_MOUNTS,
	.all_ids = true,
};

/* Every refusal has a rule, an errno and words; every consent has none. */
static void expect(const char *what, bool allowed, const struct f4_verdict *v, enum f4_rule want)
{
	if (v->rule != want)
		TEST_FAIL_("%s: rule %s, expected %s", what, f4_rule_name(v->rule), f4_rule_name(want));
	TEST_EQ(allowed, want == F4_RULE_NONE);
	TEST_EQ(v->error == 0, want == F4_RULE_NONE);
	TEST_EQ(v->text[0] == '\0', want == F4_RULE_NONE);
}

static void peers(void)
{
	static const gid_t groups[] = { 20, 30 };
	static const struct {
		const char *what;
		uid_t uid;
		gid_t gid;
		bool all_ids, only_group;
		gid_t group;
		enum f4_rule want;
	} t[] = {
		{ "a user", 1000, 1000, true, false, 0, F4_RULE_NONE },
		{ "root", 0, 0, true, false, 0, F4_RULE_ACCESS },
		{ "root's id, a user's group", 0, 1000, true, false, 0, F4_RULE_ACCESS },
		{ "a user in root's group", 1000, 0, true, false, 0, F4_RULE_NONE },
		{ "no id", (uid_t)-1, 1000, true, false, 0, F4_RULE_ACCESS },
		{ "no group id", 1000, (gid_t)-1, true, false, 0, F4_RULE_ACCESS },
		{ "nobody", 65534, 65534, true, false, 0, F4_RULE_NONE },
		{ "an id without a number here", 65534, 65534, false, false, 0, F4_RULE_ACCESS },
		{ "a user, in a user namespace", 1000, 1000, false, false, 0, F4_RULE_NONE },
		{ "member by first group", 1000, 40, true, true, 40, F4_RULE_NONE },
		{ "member by another group", 1000, 40, true, true, 30, F4_RULE_NONE },
		{ "not a member", 1000, 40, true, true, 50, F4_RULE_ACCESS },
		{ "not a member of root's", 1000, 40, true, true, 0, F4_RULE_ACCESS },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_policy p = defaults;
		struct f4_verdict v = { 0 };
		bool ok;

		p.all_ids = t[i].all_ids;
		p.only_group = t[i].only_group;
		p.group = t[i].group;
		ok = f4_policy_peer(&p, t[i].uid, t[i].gid, groups, F4_ARRAY_LEN(groups), &v);
		expect(t[i].what, ok, &v, t[i].want);
	}
}

static void options(void)
{
	static const struct {
		uint32_t flags;
		bool conf;
		enum f4_rule want;
	} t[] = {
		{ 0, false, F4_RULE_NONE },
		{ F4_ATTACH_DEFAULT_PERMISSIONS, false, F4_RULE_NONE },
		{ F4_ATTACH_FLAGS & ~(F4_ATTACH_ALLOW_OTHER | F4_ATTACH_STRICTATIME), false,
		  F4_RULE_NONE },
		{ F4_ATTACH_FLAGS & ~(F4_ATTACH_ALLOW_OTHER | F4_ATTACH_NOATIME), false,
		  F4_RULE_NONE },
		{ F4_ATTACH_NOATIME | F4_ATTACH_STRICTATIME, true, F4_RULE_OPTION },
		{ F4_ATTACH_ALLOW_OTHER, false, F4_RULE_ALLOW_OTHER },
		{ F4_ATTACH_ALLOW_OTHER | F4_ATTACH_DEFAULT_PERMISSIONS, false,
		  F4_RULE_ALLOW_OTHER },
		{ F4_ATTACH_ALLOW_OTHER | F4_ATTACH_DEFAULT_PERMISSIONS, true, F4_RULE_NONE },
		{ F4_ATTACH_ALLOW_OTHER, true, F4_RULE_OPTION },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_policy p = defaults;
		struct f4_verdict v = { 0 };
		char what[32];
		bool ok;

		(void)snprintf(what, sizeof(what), "row %zu", i);
		p.fuse.user_allow_other = t[i].conf;
		ok = f4_policy_options(&p, t[i].flags, &v);
		expect(what, ok, &v, t[i].want);
	}
}

static void places(void)
{
	static const struct {
		const char *what;
		struct f4_place place;
		enum f4_rule want;
		int error;
	} t[] = {
		{ "own directory", { 0, S_IFDIR | 0755, 1000, 0, EXT4, true }, F4_RULE_NONE, 0 },
		{ "own file", { 0, S_IFREG | 0644, 1000, 0, TMPFS, true }, F4_RULE_NONE, 0 },
		{ "shared directory", { 0, S_IFDIR | 0777, 0, 0, EXT4, true }, F4_RULE_NONE, 0 },
		{ "not writable", { 0, S_IFDIR | 0755, 0, EACCES, EXT4, true }, F4_RULE_WRITABLE,
		  EACCES },
		{ "immutable", { 0, S_IFDIR | 0755, 1000, EPERM, EXT4, true }, F4_RULE_WRITABLE,
		  EPERM },
		{ "read-only", { 0, S_IFDIR | 0755, 1000, EROFS, EXT4, true }, F4_RULE_WRITABLE,
		  EROFS },
		{ "sticky, another's", { 0, S_IFDIR | 01777, 0, 0, TMPFS, true }, F4_RULE_STICKY,
		  EPERM },
		{ "sticky, own", { 0, S_IFDIR | 01777, 1000, 0, TMPFS, true }, F4_RULE_NONE, 0 },
		{ "sticky, own, not writable", { 0, S_IFDIR | 01555, 1000, EACCES, TMPFS, true },
		  F4_RULE_WRITABLE, EACCES },
		{ "sticky file", { 0, S_IFREG | 01666, 0, 0, TMPFS, true }, F4_RULE_NONE, 0 },
		{ "procfs", { 0, S_IFDIR | 0755, 1000, 0, PROC, true }, F4_RULE_FS_TYPE, EPERM },
		{ "sysfs", { 0, S_IFDIR | 0755, 1000, 0, 0x62656572, true }, F4_RULE_FS_TYPE,
		  EPERM },
		{ "a type like ext4's in its low bits",
		  { 0, S_IFDIR | 0755, 1000, 0, 0x10000ef53, true }, F4_RULE_FS_TYPE, EPERM },
		{ "another namespace", { 0, S_IFDIR | 0755, 1000, 0, EXT4, false },
		  F4_RULE_NAMESPACE, EINVAL },
		{ "a socket", { F4_FD_E_KIND, 0, 0, 0, EXT4, true }, F4_RULE_MOUNT_POINT,
		  ENOTDIR },
		{ "not O_PATH", { F4_FD_E_ACCESS, 0, 0, 0, EXT4, true }, F4_RULE_MOUNT_POINT,
		  ENOTDIR },
		{ "hidden", { -EACCES, 0, 0, 0, 0, false }, F4_RULE_MOUNT_POINT, EACCES },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_verdict v = { 0 };

		expect(t[i].what, f4_policy_place(&t[i].place, 1000, &v), &v, t[i].want);
		TEST_EQ(v.error, t[i].error);
	}
}

/* A mount table from lines; the caller frees it. */
static void table(struct f4_mounts *m, const char *text)
{
	TEST_EQ(f4_mounts_parse(m, strdup(text)), 0);
}

static const char mounts[] =
	"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	"30 20 0:30 / /home/a/m rw,nosuid,nodev - fuse.fuse4fs fuse4fs:a rw,user_id=1000,group_id=1000\n"
	"31 20 0:31 / /home/b/m rw,nosuid,nodev - fuse.fuse4fs fuse4fs:b rw,user_id=10001,group_id=1\n"
	"32 20 0:32 / /home/a/s rw,nosuid,nodev - fuse.sshfs user_id=1 rw,user_id=1000,group_id=1000\n"
	"33 20 0:33 / /home/a/t rw,nosuid,nodev - fuse.fuse4fs x ro,user_id=1000,group_id=1000\n"
	"34 33 0:34 / /home/a/t rw - tmpfs over rw\n"
	"35 20 0:35 / /home/a/u rw,nosuid,nodev - fuse.fuse4fs x rw,user_id=1000,group_id=1000\n"
	"36 35 0:36 / /home/a/u/below rw - tmpfs below rw\n"
	"37 20 0:37 / /srv rw - fuseblk.fuse4fs /dev/sdb1 rw,user_id=0,group_id=0,allow_other\n"
	"38 20 0:38 / /mnt rw - fuse.fuse4fs /img rw,user_id=0,group_id=0,allow_other\n"
	"39 20 0:39 / /home/a/v rw - fuse.fuse4fsx x rw,user_id=1000,group_id=1000\n"
	"40 20 0:40 / /tmp rw - tmpfs fuse.fuse4fs rw,user_id=1000\n"
	"41 20 0:41 / /w rw - fuse.fuse4fs x rw,group_id=1000\n";

static void detaches(void)
{
	static const struct {
		const char *what;
		int id;
		uid_t uid;
		enum f4_rule want;
	} t[] = {
		{ "own", 30, 1000, F4_RULE_NONE },
		{ "another's", 31, 1000, F4_RULE_OWNER },
		{ "another's, whose id begins like ours", 31, 100, F4_RULE_OWNER },
		{ "another's, whose id ours begins with", 30, 10001, F4_RULE_OWNER },
		{ "own, of another program", 32, 1000, F4_RULE_NOT_OURS },
		{ "own, of a program with a longer name", 39, 1000, F4_RULE_NOT_OURS },
		{ "something mounted over it", 33, 1000, F4_RULE_TOPMOST },
		{ "what is over it", 34, 1000, F4_RULE_NOT_OURS },
		{ "something mounted below it", 35, 1000, F4_RULE_TOPMOST },
		{ "root's device", 37, 1000, F4_RULE_NOT_OURS },
		{ "root's image", 38, 1000, F4_RULE_OWNER },
		{ "named like ours", 40, 1000, F4_RULE_NOT_OURS },
		{ "without an owner", 41, 1000, F4_RULE_NOT_OURS },
		{ "the root", 20, 1000, F4_RULE_NOT_OURS },
		{ "not in the table", 99, 1000, F4_RULE_NOT_OURS },
		{ "no id", -1, 1000, F4_RULE_NOT_OURS },
	};
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	table(&m, mounts);
	TEST_REQUIRE(m.n == 13);
	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		const struct f4_mount *mount = NULL;
		struct f4_verdict v = { 0 };
		bool ok = f4_policy_detach(&m, t[i].id, t[i].uid, &mount, &v);

		expect(t[i].what, ok, &v, t[i].want);
		TEST_EQ(mount != NULL, ok);
		TEST_CHECK(!mount || mount->id == t[i].id);
	}
}

/* 1000 has 5 in the table, all users together 6. */
static void counts(void)
{
	static const struct {
		uint32_t mount_max, user_mounts;
		uid_t uid;
		enum f4_rule want;
	} t[] = {
		{ 1000, 256, 1000, F4_RULE_NONE },
		{ 7, 256, 1000, F4_RULE_NONE },
		{ 6, 256, 1000, F4_RULE_MOUNT_MAX },
		{ 6, 256, 4711, F4_RULE_MOUNT_MAX },
		{ 0, 256, 4711, F4_RULE_MOUNT_MAX },
		{ UINT32_MAX, 6, 1000, F4_RULE_NONE },
		{ UINT32_MAX, 5, 1000, F4_RULE_MOUNT_MAX },
		{ UINT32_MAX, 5, 10001, F4_RULE_NONE },
		{ UINT32_MAX, 1, 10001, F4_RULE_MOUNT_MAX },
		{ UINT32_MAX, 0, 4711, F4_RULE_MOUNT_MAX },
	};
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	table(&m, mounts);
	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_policy p = defaults;
		struct f4_verdict v = { 0 };
		char what[32];
		bool ok;

		(void)snprintf(what, sizeof(what), "row %zu", i);
		p.fuse.mount_max = t[i].mount_max;
		p.user_mounts = t[i].user_mounts;
		ok = f4_policy_counts(&p, &m, t[i].uid, &v);
		expect(what, ok, &v, t[i].want);
	}
}

static void sources(void)
{
	static const struct {
		const char *what, *text;
		struct f4_proof proof;
		const char *want; /* NULL: refused */
	} t[] = {
		{ "a word", "disk.img", { 0 }, "fuse4fs:disk.img" },
		{ "prefixed already", "fuse4fs:/dev/shm/x", { 0 }, "fuse4fs:/dev/shm/x" },
		{ "a path", "/home/a/disk.img", { 0 }, "fuse4fs:/home/a/disk.img" },
		{ "a device", "/dev/sda1", { 0 }, "fuse4fs:/dev/sda1" },
		{ "a tag", "UUID=1", { 0 }, "fuse4fs:UUID=1" },
		{ "control characters", "a\nb\033[1m\177", { 0 }, "fuse4fs:a\\x0ab\\x1b[1m\\x7f" },
		{ "UTF-8", "\303\244", { 0 }, "fuse4fs:\303\244" },
		{ "proven", "/home/a/i", { true, 0, S_IFREG, true, "/home/a/i" }, "/home/a/i" },
		{ "a proven device", "/dev/sdb1", { true, 0, S_IFBLK, true, "/dev/sdb1" },
		  "/dev/sdb1" },
		{ "proven, with a newline", "/a\nb", { true, 0, S_IFREG, true, "/a\nb" },
		  "/a\\x0ab" },
		{ "another path", "/dev/sda1", { true, 0, S_IFBLK, true, "/dev/sdb1" }, NULL },
		{ "the same, longer", "/i", { true, 0, S_IFREG, true, "/i (deleted)" }, NULL },
		{ "a word", "i", { true, 0, S_IFREG, true, "i" }, NULL },
		{ "not readable", "/dev/sda1", { true, EACCES, S_IFBLK, true, "/dev/sda1" }, NULL },
		{ "denied by the own device cgroup", "/dev/sdb1",
		  { true, EPERM, S_IFBLK, true, "/dev/sdb1" }, "/dev/sdb1" },
		{ "a file, denied", "/home/a/i", { true, EPERM, S_IFREG, true, "/home/a/i" }, NULL },
		{ "a file in /dev", "/dev/sda1", { true, 0, S_IFREG, true, "/dev/sda1" }, NULL },
		{ "a directory", "/home", { true, 0, S_IFDIR, true, "/home" }, NULL },
		{ "a character device", "/dev/tty", { true, 0, S_IFCHR, true, "/dev/tty" }, NULL },
		{ "another namespace's /dev", "/dev/sda1",
		  { true, 0, S_IFBLK, false, "/dev/sda1" }, NULL },
		{ "no path", "/i", { true, 0, S_IFREG, true, NULL }, NULL },
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		char shown[F4_POLICY_SOURCE_MAX] = "untouched";
		struct f4_verdict v = { 0 };
		bool ok = f4_policy_source(t[i].text, &t[i].proof, shown, &v);

		expect(t[i].what, ok, &v, t[i].want ? F4_RULE_NONE : F4_RULE_SOURCE);
		TEST_STREQ(shown, t[i].want ? t[i].want : "untouched");
	}
}

static void long_sources(void)
{
	char text[F4_WIRE_PATH_MAX], shown[F4_POLICY_SOURCE_MAX];
	struct f4_proof proof = { true, 0, S_IFREG, true, text };
	const struct f4_proof none = { 0 };

	for (size_t len = 1; len < sizeof(text); len += len < 300 ? 1 : 97) {
		struct f4_verdict v = { 0 };

		memset(text, 'x', len);
		text[0] = '/';
		text[len] = '\0';
		TEST_CHECK(f4_policy_source(text, &none, shown, &v));
		TEST_CHECK(strlen(shown) < sizeof(shown));
		TEST_EQ(f4_policy_source(text, &proof, shown, &v), len < sizeof(shown));
		/* Escapes are never cut in the middle. */
		memset(text, '\n', len);
		TEST_CHECK(f4_policy_source(text, &none, shown, &v));
		TEST_CHECK(strlen(shown) < sizeof(shown) && strlen(shown) % 4 == 0);
	}
}

static void refusals(void)
{
	static const struct {
		int error;
		uint32_t want;
	} t[] = { { EPERM, EPERM }, { 4095, 4095 }, { 0, EIO }, { -EPERM, EIO }, { 4096, EIO } };
	struct f4_verdict v = { 0 };

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		TEST_CHECK(!f4_refuse(&v, F4_RULE_KERNEL, t[i].error, "%s", "why"));
		TEST_EQ(v.error, t[i].want);
	}
	TEST_CHECK(!f4_refuse(&v, F4_RULE_KERNEL, EIO, "%1000s", "cut"));
	TEST_EQ(strlen(v.text), sizeof(v.text) - 1);
}

int main(void)
{
	TEST_RUN(peers);
	TEST_RUN(options);
	TEST_RUN(places);
	TEST_RUN(detaches);
	TEST_RUN(counts);
	TEST_RUN(sources);
	TEST_RUN(long_sources);
	TEST_RUN(refusals);
	return test_done();
}
