/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images for tests of the core; the contract is in coretest.h. */
#include "tests/lib/coretest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "server/ext4/csum.h"
#include "server/ext4/file.h"
#include "server/ext4/ops.h"

static void log_line(void *arg, int level, const char *line)
{
	struct coretest *t = arg;

	if (level <= LOG_WARNING)
		(void)snprintf(t->last_line, sizeof(t->last_line), "%s", line);
	if (t->verbose)
		fprintf(stderr, "<%d> %s\n", level, line);
}

/* e2fsprogs live in sbin, which a user's PATH may lack. */
static void extend_path(void)
{
	const char *path = getenv("PATH");
	char longer[4096];

	if (path && strstr(path, "/usr/sbin"))
		return;
	(void)snprintf(longer, sizeof(longer), "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	(void)setenv("PATH", longer, 1);
}

int coretest_shell(struct coretest *t, const char *command)
{
	int status;

	extend_path();
	if (setenv("IMG", t->path, 1) != 0)
		return 127;
	status = system(command);
	if (status == -1)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool coretest_mkfs(struct coretest *t, const char *size, const char *options)
{
	const char *tmp = getenv("TMPDIR");
	char command[1024];

	memset(t, 0, sizeof(*t));
	t->fd = -1;
	t->opt.resuid = t->opt.resgid = -1;
	t->opt.no_mmp_wait = true;
	(void)snprintf(t->dir, sizeof(t->dir), "%s/core.XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(t->dir)) {
		fprintf(stderr, "coretest: %s: %m\n", t->dir);
		return false;
	}
	(void)snprintf(t->path, sizeof(t->path), "%s/img", t->dir);
	(void)snprintf(command, sizeof(command),
		       "mke2fs -q -F %s \"$IMG\" %s >\"$IMG.log\" 2>&1 </dev/null || "
		       "{ cat \"$IMG.log\" >&2; exit 1; }",
		       options, size);
	if (coretest_shell(t, command) != 0) {
		fprintf(stderr, "coretest: mke2fs %s %s failed\n", options, size);
		coretest_remove(t);
		return false;
	}
	return true;
}

int coretest_open(struct coretest *t)
{
	struct f4_disk_fd_params dp = { 0 };
	struct f4_volume_params vp = { .workers = t->workers, .opt = t->opt };
	int r;

	t->fd = open(t->path, (t->opt.read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (t->fd < 0)
		return -errno;
	dp.fd = t->fd;
	dp.read_only = t->opt.read_only;
	r = f4_disk_fd_new(&dp, &vp.disk);
	if (r == 0) {
		vp.log = log_line;
		vp.log_arg = t;
		r = f4_volume_open(&vp, &t->vol);
	}
	if (r < 0) {
		t->vol = NULL;
		close(t->fd);
		t->fd = -1;
	}
	return r;
}

int coretest_close(struct coretest *t)
{
	int r;

	if (!t->vol)
		return 0;
	r = f4_volume_close(t->vol);
	t->vol = NULL;
	close(t->fd);
	t->fd = -1;
	return r;
}

void coretest_crash(struct coretest *t)
{
	if (!t->vol)
		return;
	(void)f4_volume_shutdown(t->vol, false); /* its result is for those who flush */
	(void)coretest_close(t);		 /* fails, of course */
}

bool coretest_start(struct coretest *t, const char *size, const char *options)
{
	int r;

	if (!coretest_mkfs(t, size, options))
		return false;
	r = coretest_open(t);
	if (r < 0) {
		fprintf(stderr, "coretest: open after mke2fs %s: %s (%s)\n", options, strerror(-r),
			t->last_line);
		coretest_remove(t);
		return false;
	}
	return true;
}

int coretest_fsck(struct coretest *t)
{
	return coretest_shell(t, "e2fsck -fn \"$IMG\" >\"$IMG.log\" 2>&1 "
				 "</dev/null || { rc=$?; head -n 40 \"$IMG.log\" >&2; exit $rc; }");
}

void coretest_remove(struct coretest *t)
{
	char log[sizeof(t->path) + 4];

	(void)coretest_close(t);
	(void)snprintf(log, sizeof(log), "%s.log", t->path);
	(void)unlink(log);
	(void)unlink(t->path);
	(void)rmdir(t->dir);
}

bool coretest_finish(struct coretest *t)
{
	int r = coretest_close(t), rc;

	if (r < 0)
		fprintf(stderr, "coretest: close: %s (%s)\n", strerror(-r), t->last_line);
	rc = coretest_fsck(t);
	if (rc != 0)
		fprintf(stderr, "coretest: e2fsck -fn says %d\n", rc);
	coretest_remove(t);
	return r == 0 && rc == 0;
}

bool coretest_poke(struct coretest *t, uint64_t pos, const void *data, size_t len)
{
	int fd = open(t->path, O_RDWR | O_CLOEXEC);
	bool ok = fd >= 0 && pwrite(fd, data, len, (off_t)pos) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return ok;
}

bool coretest_peek(struct coretest *t, uint64_t pos, void *data, size_t len)
{
	int fd = open(t->path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && pread(fd, data, len, (off_t)pos) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return ok;
}

bool coretest_set_super(struct coretest *t, size_t off, const void *data, size_t len)
{
	struct f4_super sb;

	if (off + len > sizeof(sb) || !coretest_peek(t, F4_SB_OFFSET, &sb, sizeof(sb)))
		return false;
	memcpy((uint8_t *)&sb + off, data, len);
	if (f4_get_le32(sb.s_feature_ro_compat) & F4_RO_COMPAT_METADATA_CSUM)
		sb.s_checksum = f4_mk_le32(
			f4_crc32c(~0u, &sb, offsetof(struct f4_super, s_checksum)));
	return coretest_poke(t, F4_SB_OFFSET, &sb, sizeof(sb));
}

/* --- names ---------------------------------------------------------------------------------- */

/* The directory of @path and the last name in it. */
static struct f4_inode *walk(struct coretest *t, const char *path, const char **ret_name, int *ret_err)
{
	struct f4_inode *dir, *next;
	const char *slash;
	int r = f4_inode_get(t->vol, F4_ROOT_INO, 0, &dir);

	while (r == 0 && (slash = strchr(path, '/')) != NULL) {
		r = f4_op_lookup(dir, path, (size_t)(slash - path), &next);
		f4_inode_put(dir);
		dir = r == 0 ? next : NULL;
		path = slash + 1;
	}
	*ret_name = path;
	*ret_err = r;
	return r == 0 ? dir : NULL;
}

struct f4_inode *coretest_lookup(struct coretest *t, const char *path)
{
	const char *name;
	int r;
	f4_auto_inode *dir = walk(t, path, &name, &r);
	struct f4_inode *inode;

	if (!dir)
		return NULL;
	if (*name == '\0') {
		f4_inode_ref(dir);
		return dir;
	}
	return f4_op_lookup(dir, name, strlen(name), &inode) == 0 ? inode : NULL;
}

static struct f4_inode *make(struct coretest *t, const char *path, uint16_t mode, const char *target,
			     int *ret_err)
{
	struct f4_op_new spec = { .mode = mode, .target = target };
	const char *name;
	f4_auto_inode *dir = walk(t, path, &name, ret_err);
	struct f4_inode *inode;

	if (!dir)
		return NULL;
	*ret_err = f4_op_create(dir, name, strlen(name), &spec, &inode);
	return *ret_err == 0 ? inode : NULL;
}

struct f4_inode *coretest_mknod(struct coretest *t, const char *path, uint16_t mode, int *ret_err)
{
	return make(t, path, mode, NULL, ret_err);
}

int coretest_create(struct coretest *t, const char *path)
{
	int r;

	f4_inode_put(make(t, path, S_IFREG | 0644, NULL, &r));
	return r;
}

int coretest_mkdir(struct coretest *t, const char *path)
{
	int r;

	f4_inode_put(make(t, path, S_IFDIR | 0755, NULL, &r));
	return r;
}

int coretest_symlink(struct coretest *t, const char *path, const char *target)
{
	int r;

	f4_inode_put(make(t, path, S_IFLNK | 0777, target, &r));
	return r;
}

int coretest_unlink(struct coretest *t, const char *path)
{
	const char *name;
	int r;
	f4_auto_inode *dir = walk(t, path, &name, &r);

	return dir ? f4_op_unlink(dir, name, strlen(name)) : r;
}

int coretest_rmdir(struct coretest *t, const char *path)
{
	const char *name;
	int r;
	f4_auto_inode *dir = walk(t, path, &name, &r);

	return dir ? f4_op_rmdir(dir, name, strlen(name)) : r;
}

int coretest_write(struct coretest *t, const char *path, const void *data, size_t len, uint64_t pos)
{
	const struct f4_cred cred = { 0 };
	f4_auto_inode *inode = coretest_lookup(t, path);
	size_t done;
	int r = 0;

	if (!inode)
		inode = make(t, path, S_IFREG | 0644, NULL, &r);
	if (!inode)
		return r;
	while (r == 0 && len) {
		r = f4_file_write(inode, data, len, pos, 0, &cred, &done);
		if (r == 0) {
			data = (const uint8_t *)data + done;
			len -= done;
			pos += done;
		}
	}
	return r;
}

int coretest_read(struct coretest *t, const char *path, void *buf, size_t len, uint64_t pos, size_t *ret)
{
	f4_auto_inode *inode = coretest_lookup(t, path);

	return inode ? f4_file_read(inode, buf, len, pos, ret) : -ENOENT;
}
