/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Listing directories.
 *
 * opendir is answered ENOSYS once: the kernel then opens without requests and keeps listings in its
 * page cache. It drops them itself when it changes the directory. Under strictatime it must ask for
 * each listing, which is what sets the access time.
 *
 * readdirplus works in two passes: the names are taken under the directory's lock, with room for
 * the attributes; then, with no lock held, each inode is looked up and its attributes are filled
 * in. Between the two no name can change: the kernel locks the directory against its own changes
 * while it lists it, and nobody else changes anything.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>

#include "server/ext4/atime.h"
#include "server/ext4/dir.h"
#include "server/ext4/file.h"
#include "server/fuse/internal.h"

struct listing {
	uint8_t *buf; /* borrowed from the worker */
	size_t size, used; /* bytes */
	size_t prefix; /* bytes in front of each dirent: 0, or a struct f4_abi_entry_out */
};

static uint32_t dt_of(uint8_t type)
{
	static const uint8_t map[] = {
		[F4_FT_UNKNOWN] = DT_UNKNOWN, [F4_FT_REG_FILE] = DT_REG, [F4_FT_DIR] = DT_DIR,
		[F4_FT_CHRDEV] = DT_CHR,      [F4_FT_BLKDEV] = DT_BLK,   [F4_FT_FIFO] = DT_FIFO,
		[F4_FT_SOCK] = DT_SOCK,	      [F4_FT_SYMLINK] = DT_LNK,
	};

	return type < F4_ARRAY_LEN(map) ? map[type] : DT_UNKNOWN;
}

static int emit(void *arg, const char *name, size_t len, uint32_t ino, uint8_t type,
		uint64_t next_cookie)
{
	struct listing *l = arg;
	struct f4_abi_dirent ent = {
		.ino = ino,
		.off = next_cookie,
		.namelen = (uint32_t)len,
		.type = dt_of(type),
	};
	size_t whole = F4_ABI_DIRENT_ALIGN(l->prefix + sizeof(ent) + len);
	uint8_t *p = l->buf + l->used;

	if (len == 0 || len > F4_NAME_MAX)
		return -EUCLEAN;
	if (whole > l->size - l->used)
		return 1;
	memset(p, 0, l->prefix);
	memcpy(p + l->prefix, &ent, sizeof(ent));
	memcpy(p + l->prefix + sizeof(ent), name, len);
	memset(p + l->prefix + sizeof(ent) + len, 0, whole - l->prefix - sizeof(ent) - len);
	l->used += whole;
	return 0;
}

static int list(fuse_req_t req, fuse_ino_t node, uint64_t cookie, struct f4_inode **ret_dir,
		struct listing *l)
{
	int r;

	r = f4_node_get(f4_req_session(req), node, ret_dir);
	if (r < 0)
		return r;
	f4_inode_rdlock(*ret_dir);
	r = f4_is_dir(*ret_dir) ? f4_dir_iterate(*ret_dir, cookie, emit, l) : -ENOTDIR;
	f4_inode_unlock(*ret_dir);
	if (r == 0)
		f4_inode_accessed(*ret_dir);
	/* An error behind some entries is found again by the next request, which begins there. */
	return l->used > 0 ? 0 : r;
}

static struct listing new_listing(struct f4_worker *w, size_t size, size_t prefix)
{
	return (struct listing){
		.buf = w->transport.out,
		.size = size < F4_TRANSPORT_MAX_IO ? size : F4_TRANSPORT_MAX_IO,
		.prefix = prefix,
	};
}

void f4_fuse_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	if (f4_req_session(req)->config.strict_atime)
		(void)fuse_reply_open(req, fi); /* neither keep_cache nor cache_readdir */
	else
		(void)fuse_reply_err(req, ENOSYS);
}

void f4_fuse_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	(void)node;
	(void)fi;
	(void)fuse_reply_err(req, 0);
}

void f4_fuse_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		     struct fuse_file_info *fi)
{
	struct f4_worker *w = f4_worker_current(f4_req_session(req));
	struct listing l = new_listing(w, size, 0);
	f4_auto_inode *dir = NULL;
	int r;

	(void)fi;
	r = list(req, node, (uint64_t)off, &dir, &l);
	if (r < 0)
		f4_reply_result(req, r);
	else
		(void)fuse_reply_buf(req, (const char *)l.buf, l.used);
}

static bool is_dot(const uint8_t *name, uint32_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

/* Walk over what emit() wrote: fill the entries, or (undo) give their lookups back. */
static void fill_entries(struct f4_session *s, struct f4_inode *dir, struct listing *l, bool undo)
{
	for (size_t pos = 0; pos < l->used;) {
		uint8_t *p = l->buf + pos;
		struct f4_abi_entry_out *entry = (void *)p;
		const struct f4_abi_dirent *ent = (const void *)(p + sizeof(*entry));
		f4_auto_inode *inode = NULL;

		pos += F4_ABI_DIRENT_ALIGN(sizeof(*entry) + sizeof(*ent) + ent->namelen);
		/* Without a node the kernel takes the name alone and asks again when it needs more. */
		if (is_dot(p + sizeof(*entry) + sizeof(*ent), ent->namelen))
			continue;
		if (undo) {
			if (entry->nodeid != 0)
				f4_inode_forget(s->vol, (uint32_t)ent->ino, 1);
		} else if (f4_inode_get(s->vol, (uint32_t)ent->ino, 0, &inode) == 0) {
			f4_entry_take(s, dir, inode, entry);
		}
	}
}

void f4_fuse_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
			 struct fuse_file_info *fi)
{
	struct f4_session *s = f4_req_session(req);
	struct listing l =
		new_listing(f4_worker_current(s), size, sizeof(struct f4_abi_entry_out));
	f4_auto_inode *dir = NULL;
	int r;

	(void)fi;
	r = list(req, node, (uint64_t)off, &dir, &l);
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	fill_entries(s, dir, &l, false);
	if (fuse_reply_buf(req, (const char *)l.buf, l.used) < 0)
		fill_entries(s, dir, &l, true);
}

void f4_fuse_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	f4_auto_inode *dir = NULL;
	int r;

	(void)fi;
	r = f4_node_get(f4_req_session(req), node, &dir);
	if (r == 0)
		r = f4_file_fsync(dir, datasync != 0);
	f4_reply_result(req, r);
}
