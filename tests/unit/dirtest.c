/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/dirtest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

static void die(const struct dirtest *t, const char *what, int r)
{
	fprintf(stderr, "dirtest: %s: %s (%s)\n", what, strerror(-r), t->core.last_line);
	abort();
}

/* A disk that the volume may free: the one behind it stays. */
struct front {
	struct f4_disk disk;
	struct f4_disk *back; /* borrowed */
};

static struct f4_disk *back_of(struct f4_disk *d)
{
	return f4_container_of(d, struct front, disk)->back;
}

static int front_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return f4_disk_readv(back_of(d), iov, n, pos);
}

static int front_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return f4_disk_writev(back_of(d), iov, n, pos);
}

static int front_flush(struct f4_disk *d)
{
	return f4_disk_flush(back_of(d));
}

static void front_destroy(struct f4_disk *d)
{
	free(f4_container_of(d, struct front, disk));
}

static const struct f4_disk_ops front_ops = {
	.readv = front_readv,
	.writev = front_writev,
	.flush = front_flush,
	.destroy = front_destroy,
};

static void load(struct dirtest *t)
{
	t->disk = f4_sim_load(t->core.path);
	if (!t->disk)
		die(t, "load", -EIO);
}

void dt_mkfs(struct dirtest *t, const char *args, const char *size, const char *tune)
{
	char all[512];

	memset(t, 0, sizeof(*t));
	/* The same hash seed each time, so that a failure comes back. */
	snprintf(all, sizeof(all), "%s -U 5d3ed0bf-8e5e-4a5f-9c0a-0d1f2e3c4b5a %s", args,
		 strstr(args, "-E ") ? "" : "-E hash_seed=9e107d9d-372b-4b68-96bd-3542a419d6b1");
	if (!coretest_mkfs(&t->core, size, all))
		abort();
	load(t);
	if (tune && dt_shell(t, tune) != 0)
		die(t, tune, -EINVAL);
}

int dt_shell(struct dirtest *t, const char *command)
{
	char line[1024];
	int r = f4_sim_store(t->disk, t->core.path);

	if (r < 0)
		die(t, "store", r);
	snprintf(line, sizeof(line), "PATH=$PATH:/usr/sbin:/sbin; { %s; } >/dev/null 2>&1",
		 command);
	r = coretest_shell(&t->core, line);
	f4_disk_free(t->disk);
	load(t);
	return r;
}

int dt_fsck(struct dirtest *t)
{
	int r = f4_sim_store(t->disk, t->core.path);

	if (r < 0)
		die(t, "store", r);
	return coretest_fsck(&t->core);
}

static void hear(void *arg, int level, const char *line)
{
	struct dirtest *t = arg;

	if (level <= LOG_WARNING)
		snprintf(t->core.last_line, sizeof(t->core.last_line), "%s", line);
}

void dt_open(struct dirtest *t)
{
	struct f4_volume_params p = { .opt = t->core.opt, .log = hear, .log_arg = t };
	struct front *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		abort();
	f->back = t->disk;
	f->disk = (struct f4_disk){ .ops = &front_ops,
				    .size_bytes = t->disk->size_bytes,
				    .sector_size = t->disk->sector_size };
	p.disk = &f->disk;
	r = f4_volume_open(&p, &t->vol);
	if (r < 0)
		die(t, "open", r);
	t->root = dt_get(t, F4_ROOT_INO);
}

int dt_close(struct dirtest *t)
{
	int r;

	f4_inode_put(t->root);
	r = f4_volume_close(t->vol);
	t->root = NULL;
	t->vol = NULL;
	return r;
}

void dt_done(struct dirtest *t)
{
	t->disk = f4_disk_free(t->disk);
	coretest_remove(&t->core);
}

struct f4_inode *dt_get(struct dirtest *t, uint32_t ino)
{
	struct f4_inode *inode = NULL;
	int r = f4_inode_get(t->vol, ino, 0, &inode);

	if (r < 0)
		die(t, "inode", r);
	return inode;
}

int dt_create(struct f4_inode *dir, const char *name, uint32_t mode, uint32_t *ret_ino)
{
	struct f4_op_new spec = { .mode = (uint16_t)mode, .target = "to/somewhere" };
	struct f4_inode *inode;
	int r = f4_op_create(dir, name, strlen(name), &spec, &inode);

	if (r < 0)
		return r;
	if (ret_ino)
		*ret_ino = inode->ino;
	f4_inode_put(inode);
	return 0;
}

struct sink {
	struct dt_name *names;
	int n, max;
	uint64_t cookie;
};

static int take(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type,
		uint64_t next_cookie)
{
	struct sink *s = arg;
	struct dt_name *d = &s->names[s->n];

	if (s->n == s->max)
		return 1;
	memcpy(d->name, name, len);
	d->name[len] = '\0';
	d->len = len;
	d->ino = ino;
	d->type = type;
	d->next = s->cookie = next_cookie;
	s->n++;
	return 0;
}

int dt_read(struct f4_inode *dir, uint64_t *cookie, struct dt_name *names, int max)
{
	struct sink s = { .names = names, .max = max, .cookie = *cookie };
	int r;

	f4_inode_rdlock(dir);
	r = f4_dir_iterate(dir, *cookie, take, &s);
	f4_inode_unlock(dir);
	*cookie = s.cookie;
	return r < 0 ? r : s.n;
}
