/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The transport floor of `make bench`: a FUSE server that does no work.
 *
 *   nullfs DIR     mounts itself on DIR (as root) and serves until it is unmounted
 *
 * Names and sizes live in memory, content is zeroes, writes are thrown away, fsync returns at once.
 * What a workload takes here, no FUSE server can go below over the same transport: the difference
 * between this and us is ours, the rest is the kernel's.
 */
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS (1u << 18)
#define NODES	(1u << 21)
#define FOREVER 1e9

struct node {
	_Atomic uint64_t size;
	uint32_t parent, next;
	mode_t mode;
	char *name;
};

static struct node *nodes;
static uint32_t buckets[BUCKETS];
static uint32_t used = 2; /* 1 is the root */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char zeroes[1 << 20];

static uint32_t bucket_of(uint32_t parent, const char *name)
{
	uint32_t h = 2166136261u ^ parent;

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h % BUCKETS;
}

static uint32_t *find(uint32_t parent, const char *name)
{
	uint32_t *p = &buckets[bucket_of(parent, name)];

	while (*p && (nodes[*p].parent != parent || strcmp(nodes[*p].name, name) != 0))
		p = &nodes[*p].next;
	return p;
}

static void fill(uint32_t ino, struct stat *st)
{
	memset(st, 0, sizeof(*st));
	st->st_ino = ino;
	st->st_mode = nodes[ino].mode;
	st->st_nlink = 1;
	st->st_size = (off_t)nodes[ino].size;
	st->st_blksize = 4096;
}

static void entry(fuse_req_t req, uint32_t ino)
{
	struct fuse_entry_param e = { .ino = ino, .attr_timeout = FOREVER, .entry_timeout = FOREVER };

	fill(ino, &e.attr);
	fuse_reply_entry(req, &e);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	uint32_t ino;

	pthread_mutex_lock(&lock);
	ino = *find((uint32_t)parent, name);
	pthread_mutex_unlock(&lock);
	if (ino) {
		entry(req, ino);
	} else {
		struct fuse_entry_param e = { .entry_timeout = FOREVER };

		fuse_reply_entry(req, &e);
	}
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
	uint32_t *p, ino = 0;

	(void)dev;
	pthread_mutex_lock(&lock);
	p = find((uint32_t)parent, name);
	if (!*p && used < NODES) {
		ino = used++;
		nodes[ino] = (struct node){ .parent = (uint32_t)parent, .mode = mode, .name = strdup(name) };
		*p = ino;
	}
	pthread_mutex_unlock(&lock);
	if (ino)
		entry(req, ino);
	else
		fuse_reply_err(req, EEXIST);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	op_mknod(req, parent, name, S_IFDIR | mode, 0);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		      struct fuse_file_info *fi)
{
	struct fuse_entry_param e = { .attr_timeout = FOREVER, .entry_timeout = FOREVER };
	uint32_t *p;

	pthread_mutex_lock(&lock);
	p = find((uint32_t)parent, name);
	if (!*p && used < NODES) {
		uint32_t ino = used++;

		nodes[ino] = (struct node){ .parent = (uint32_t)parent, .mode = S_IFREG | mode, .name = strdup(name) };
		*p = ino;
	}
	e.ino = *p;
	pthread_mutex_unlock(&lock);
	fill((uint32_t)e.ino, &e.attr);
	fi->keep_cache = 1;
	fuse_reply_create(req, &e, fi);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	uint32_t *p, ino;

	pthread_mutex_lock(&lock);
	p = find((uint32_t)parent, name);
	ino = *p;
	if (ino)
		*p = nodes[ino].next;
	pthread_mutex_unlock(&lock);
	fuse_reply_err(req, ino ? 0 : ENOENT);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	(void)fi;
	fill((uint32_t)ino, &st);
	fuse_reply_attr(req, &st, FOREVER);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
		       struct fuse_file_info *fi)
{
	if (to_set & FUSE_SET_ATTR_SIZE)
		nodes[ino].size = (uint64_t)attr->st_size;
	op_getattr(req, ino, fi);
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS); /* the kernel asks once and never again */
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	uint64_t end = nodes[ino].size;

	(void)fi;
	if ((uint64_t)off >= end)
		size = 0;
	else if (size > end - (uint64_t)off)
		size = end - (uint64_t)off;
	fuse_reply_buf(req, zeroes, size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	(void)buf;
	(void)fi;
	if ((uint64_t)off + size > nodes[ino].size)
		nodes[ino].size = (uint64_t)off + size;
	fuse_reply_write(req, size);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void op_init(void *arg, struct fuse_conn_info *conn)
{
	(void)arg;
	conn->max_write = 1 << 20;
	conn->max_readahead = 1 << 20;
	conn->want |= conn->capable & (FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_ASYNC_DIO | FUSE_CAP_NO_OPEN_SUPPORT |
				       FUSE_CAP_NO_OPENDIR_SUPPORT);
}

static const struct fuse_lowlevel_ops ops = {
	.init = op_init,
	.lookup = op_lookup,
	.getattr = op_getattr,
	.setattr = op_setattr,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.create = op_create,
	.unlink = op_unlink,
	.rmdir = op_unlink,
	.open = op_open,
	.read = op_read,
	.write = op_write,
	.fsync = op_fsync,
};

int main(int argc, char **argv)
{
	char *fuse_argv[] = { argv[0], NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, fuse_argv);
	struct fuse_loop_config *config;
	struct fuse_session *se;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: nullfs DIR\n");
		return 2;
	}
	nodes = calloc(NODES, sizeof(*nodes));
	if (!nodes)
		return 1;
	nodes[1].mode = S_IFDIR | 0755;
	se = fuse_session_new(&args, &ops, sizeof(ops), NULL);
	if (!se || fuse_session_mount(se, argv[1]) != 0)
		return 1;
	fuse_daemonize(0);
	config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_clone_fd(config, 0);
	r = fuse_session_loop_mt(se, config);
	fuse_loop_cfg_destroy(config);
	fuse_session_unmount(se);
	fuse_session_destroy(se);
	free(nodes);
	return r ? 1 : 0;
}
