/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The mount table's text, with what hostile mount sources put into it. */
#include "helper/mounts.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include "protocol/base/cleanup.h"
#include "tests/lib/check.h"

static void load(struct f4_mounts *m, const char *text)
{
	TEST_EQ(f4_mounts_parse(m, strdup(text)), 0);
}

static const char table[] =
	"26 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"
	"40 26 0:40 / /mnt rw,nosuid,nodev shared:5 master:1 - fuse.fuse4fs /home/a\\040b.img "
	"rw,user_id=1000,group_id=100\n"
	"41 40 0:41 / /mnt rw - tmpfs tmpfs rw\n"
	"42 26 0:42 /sub /a\\011b\\134c rw - fuseblk.fuse4fs /dev/sdb1 ro,user_id=0,group_id=0\n"
	"43 26 0:43 / /evil rw - fuse.fuse4fs x,user_id=0\\012 rw,user_id=7,group_id=0\n"
	"44 26 0:44 / /other rw - fuse.fuse4fsx s rw\n"
	"45 26 0:45 / /nosource rw - fuse.fuse4fs  rw,user_id=5\n";

static void fields(void)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	load(&m, table);
	TEST_REQUIRE(m.n == 7);
	TEST_EQ(m.v[1].id, 40);
	TEST_EQ(m.v[1].parent, 26);
	TEST_CHECK(m.v[1].dev == makedev(0, 40));
	TEST_STREQ(m.v[1].target, "/mnt");
	TEST_STREQ(m.v[1].source, "/home/a b.img");
	TEST_STREQ(m.v[1].options, "rw,nosuid,nodev");
	TEST_STREQ(m.v[1].super_options, "rw,user_id=1000,group_id=100");
	TEST_STREQ(m.v[3].target, "/a\tb\\c");
	TEST_STREQ(m.v[3].root, "/sub");
	TEST_STREQ(m.v[6].source, "");
	TEST_STREQ(m.v[6].super_options, "rw,user_id=5");
}

static void topmost(void)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	load(&m, table);
	TEST_REQUIRE(f4_mounts_topmost(&m, "/mnt") != NULL);
	TEST_EQ(f4_mounts_topmost(&m, "/mnt")->id, 41);
	TEST_EQ(f4_mounts_topmost(&m, "/")->id, 26);
	TEST_CHECK(!f4_mounts_topmost(&m, "/mn"));
	TEST_CHECK(f4_mounts_has_child(&m, &m.v[0]));
	TEST_CHECK(f4_mounts_has_child(&m, &m.v[1]));
	TEST_CHECK(!f4_mounts_has_child(&m, &m.v[2]));
	TEST_CHECK(f4_mounts_by_id(&m, 42) == &m.v[3]);
	TEST_CHECK(!f4_mounts_by_id(&m, 99));
}

/* Two mounts that claim each other as parent must not be walked for ever. */
static void cycle(void)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

	load(&m, "1 2 0:1 / /x rw - a b rw\n2 1 0:2 / /x rw - a b rw\n3 3 0:3 / /x rw - a b rw\n");
	TEST_EQ(m.n, 3);
	TEST_CHECK(f4_mounts_topmost(&m, "/x") != NULL);
}

static void ours(void)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	uid_t uid = 0;

	load(&m, table);
	TEST_CHECK(!f4_mount_is_ours(&m.v[0], "fuse4fs"));
	TEST_CHECK(f4_mount_is_ours(&m.v[1], "fuse4fs"));
	TEST_CHECK(f4_mount_is_ours(&m.v[3], "fuse4fs"));
	TEST_CHECK(!f4_mount_is_ours(&m.v[5], "fuse4fs"));
	TEST_CHECK(f4_mount_user_id(&m.v[1], &uid));
	TEST_EQ(uid, 1000);
	/* what stands in a source is no option */
	TEST_CHECK(f4_mount_user_id(&m.v[4], &uid));
	TEST_EQ(uid, 7);
	TEST_CHECK(!f4_mount_user_id(&m.v[0], &uid));
}

static void bad_lines(void)
{
	static const char *const t[] = {
		"", "\n\n\n", "x", "1 2 3", "1 2 0:1 / /x rw", "1 2 0:1 / /x rw -", "- - - - -",
		"1 2 0:1 / /x rw - t s", "1 2 0 / /x rw - t s o", "-1 2 0:1 / /x rw - t s o",
		"99999999999 2 0:1 / /x rw - t s o", "1 2 0:1 / /x rw - t ", "1 2 0:1 / /x rw -  ",
	};

	for (size_t i = 0; i < F4_ARRAY_LEN(t); i++) {
		struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;

		load(&m, t[i]);
		TEST_EQ(m.n, 0);
	}
}

/* Against the kernel's own table. */
static void real_table(void)
{
	struct f4_mounts m f4_cleanup(f4_mounts_done) = F4_MOUNTS_INIT;
	f4_auto_fd fd = open("/proc", O_PATH | O_CLOEXEC);
	f4_auto_free char *path = NULL;
	int id = 0;

	TEST_REQUIRE(f4_mounts_load(&m) == 0 && m.n > 0 && fd >= 0);
	TEST_EQ(f4_fd_mount_id(fd, &id), 0);
	TEST_REQUIRE(f4_mounts_by_id(&m, id) != NULL);
	TEST_STREQ(f4_mounts_by_id(&m, id)->type, "proc");
	TEST_CHECK(f4_mounts_topmost(&m, "/proc") == f4_mounts_by_id(&m, id));
	TEST_EQ(f4_fd_path(fd, &path), 0);
	TEST_STREQ(path, "/proc");
	TEST_EQ(f4_fd_mount_id(987, &id), -ENOENT);
}

int main(void)
{
	TEST_RUN(fields);
	TEST_RUN(topmost);
	TEST_RUN(cycle);
	TEST_RUN(ours);
	TEST_RUN(bad_lines);
	TEST_RUN(real_table);
	return test_done();
}
