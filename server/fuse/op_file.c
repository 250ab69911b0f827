/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File content.
 *
 * open is answered ENOSYS once: from then on the kernel opens and closes without requests and keeps
 * the pages of a file as long as it has memory. What that gives up: an immutable file can be opened
 * for writing (each write is refused instead), and reads that the cache answers set no access time.
 * Two options pay for it with requests: strict_open (each open is asked for and may be refused) and
 * strictatime (moreover no page and no listing outlives the open that it was read by).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <time.h>

#include "server/ext4/atime.h"
#include "server/ext4/file.h"
#include "server/fuse/internal.h"
#include "server/fuse/inval.h"

/* Reads longer ago than this were before the kernel took the pages out for a write that comes now. */
#define MEANWHILE_S 30

/* What the VFS checks for filesystems whose flags it knows. */
static int may_open(struct f4_inode *inode, int flags)
{
	bool writes = (flags & O_ACCMODE) != O_RDONLY;
	struct f4_attr attr;

	f4_inode_attr(inode, &attr);
	if ((attr.flags & F4_FL_IMMUTABLE) && writes)
		return -EPERM;
	if ((attr.flags & F4_FL_APPEND) && ((writes && !(flags & O_APPEND)) || (flags & O_TRUNC)))
		return -EPERM;
	return 0;
}

void f4_fuse_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	struct f4_session *s = f4_req_session(req);
	f4_auto_inode *inode = NULL;
	int r = 0;

	if (!s->config.strict_open && !s->config.strict_atime) {
		(void)fuse_reply_err(req, ENOSYS);
		return;
	}
	r = f4_node_get(s, node, &inode);
	if (r == 0)
		r = may_open(inode, fi->flags);
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	fi->keep_cache = !s->config.strict_atime;
	fi->noflush = 1;
	(void)fuse_reply_open(req, fi); /* nothing is counted that would have to be taken back */
}

/* Only for files whose open was a request: by O_TMPFILE, and all under strict_open. */
void f4_fuse_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi)
{
	f4_auto_inode *inode = NULL;

	(void)fi;
	if (f4_node_get(f4_req_session(req), node, &inode) == 0)
		f4_file_release(inode);
	(void)fuse_reply_err(req, 0);
}

static int64_t now_s(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now); /* the clock exists; no system call */
	return now.tv_sec + 1;
}

/* Before the content is looked at: see drop_read_pages. */
static void note_page_read(struct f4_inode *inode)
{
	int64_t now = now_s();

	if (atomic_load(&inode->pages_read_s) != now)
		atomic_store(&inode->pages_read_s, now);
}

void f4_fuse_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		  struct fuse_file_info *fi)
{
	struct f4_session *s = f4_req_session(req);
	struct f4_worker *w = f4_worker_current(s);
	f4_auto_inode *inode = NULL;
	size_t got = 0;
	int r;

	if (size > F4_TRANSPORT_MAX_IO)
		size = F4_TRANSPORT_MAX_IO;
	r = off < 0 ? -EINVAL : f4_node_get(s, node, &inode);
	if (r == 0 && !(fi->flags & O_DIRECT))
		note_page_read(inode);
	if (r == 0)
		r = f4_file_read(inode, w->transport.out, size, (uint64_t)off, &got);
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	f4_inode_accessed(inode); /* before the reply: the kernel asks for the atime after it */
	(void)fuse_reply_buf(req, (const char *)w->transport.out, got);
}

static uint32_t write_flags(struct f4_session *s, const struct f4_abi_write_in *arg)
{
	uint32_t flags = 0;

	flags |= arg->write_flags & F4_ABI_WRITE_CACHE ? F4_WRITE_CACHE : 0;
	/* Else it is a page written through a mapping, whose times are ours as of any write. */
	if ((flags & F4_WRITE_CACHE) && (atomic_load(&s->abi_flags) & F4_ABI_WRITEBACK_CACHE))
		flags |= F4_WRITE_KEEP_TIMES;
	flags |= arg->write_flags & F4_ABI_WRITE_KILL_SUIDGID ? F4_WRITE_KILLPRIV : 0;
	return flags; /* O_SYNC and O_DSYNC: the kernel sends FSYNC */
}

static int write_inode(struct f4_session *s, struct f4_inode *inode,
		       const struct f4_abi_in_header *in, const struct f4_abi_write_in *arg,
		       const void *data, size_t *ret_done)
{
	uint32_t flags = write_flags(s, arg);
	struct f4_cred cred;
	bool had_suid;
	int r;

	(void)f4_cred_init(s, in->uid, in->gid, 0, &cred);
	if (s->config.fakeroot)
		flags &= ~F4_WRITE_KILLPRIV;
	f4_inode_rdlock(inode);
	had_suid = (inode->mode & (S_ISUID | S_ISGID)) != 0;
	flags |= cred.gid != inode->gid ? F4_WRITE_KILLSGID : 0;
	/* The kernel doesn't know of the flag; a write from its cache says nothing of O_APPEND. */
	r = (inode->flags & F4_FL_APPEND) && !(arg->flags & O_APPEND) &&
			    !(flags & F4_WRITE_CACHE) ?
		    -EPERM :
		    0;
	f4_inode_unlock(inode);
	if (r < 0)
		return r;
	r = f4_file_write(inode, data, arg->size, arg->offset, flags, &cred, ret_done);
	/* The kernel renews size and times by itself, the mode not: it must not trust the old one. */
	if (r == 0 && had_suid && (flags & F4_WRITE_KILLPRIV))
		f4_invalidate_attr(s, inode);
	return r;
}

/*
 * After a direct write: pages that were read meanwhile may hold what was there before (inval.h). A
 * reader says so before it reads and we ask after we wrote, so either he is seen here or he has
 * read what we wrote.
 */
static void drop_read_pages(struct f4_session *s, struct f4_inode *inode,
			    const struct f4_abi_write_in *arg, size_t done)
{
	int64_t read_s = atomic_load(&inode->pages_read_s);

	if (!(arg->flags & O_DIRECT) || (arg->write_flags & F4_ABI_WRITE_CACHE) || done == 0 ||
	    read_s == 0 || now_s() - read_s > MEANWHILE_S)
		return;
	f4_inval_range(s->inval, f4_node_of(inode->ino), arg->offset, done);
}

void f4_raw_write(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		  size_t arg_len)
{
	const struct f4_abi_write_in *write_in = arg;
	struct f4_abi_write_out out = { 0 };
	struct iovec iov = { &out, sizeof(out) };
	f4_auto_inode *inode = NULL;
	size_t done = 0;
	int r;

	if (arg_len < sizeof(*write_in) || write_in->size > arg_len - sizeof(*write_in)) {
		f4_raw_error(w, in, -EINVAL);
		return;
	}
	r = write_in->offset > INT64_MAX - F4_TRANSPORT_MAX_IO ?
		    -EFBIG :
		    f4_node_get(w->session, in->nodeid, &inode);
	if (r == 0)
		r = write_inode(w->session, inode, in, write_in, write_in + 1, &done);
	if (r == 0)
		drop_read_pages(w->session, inode, write_in, done);
	if (r < 0) {
		f4_raw_error(w, in, r);
		return;
	}
	out.size = (uint32_t)done;
	(void)f4_raw_reply(w, in, &iov, 1);
}

void f4_fuse_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi)
{
	f4_auto_inode *inode = NULL;
	int r;

	(void)fi;
	r = f4_node_get(f4_req_session(req), node, &inode);
	if (r == 0)
		r = f4_file_fsync(inode, datasync != 0);
	f4_reply_result(req, r);
}

/* As a write by somebody without rights over the file does. */
static int kill_privileges(struct f4_session *s, struct f4_inode *inode, const struct f4_cred *cred)
{
	uint32_t mask = F4_SET_KILLPRIV;
	struct f4_attr attr;
	int r;

	f4_inode_attr(inode, &attr);
	if (!(attr.mode & (S_ISUID | S_ISGID)))
		return 0;
	if (cred->gid != attr.gid)
		mask |= F4_SET_KILLSGID;
	r = f4_inode_setattr(inode, mask, &attr, cred);
	f4_invalidate_attr(s, inode);
	return r;
}

void f4_fuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len,
		       struct fuse_file_info *fi)
{
	struct f4_session *s = f4_req_session(req);
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	f4_auto_inode *inode = NULL;
	struct f4_cred cred;
	int r;

	(void)fi;
	(void)f4_cred_init(s, ctx->uid, ctx->gid, 0, &cred);
	r = off < 0 || len <= 0 ? -EINVAL : f4_node_get(s, node, &inode);
	if (r == 0)
		r = f4_file_fallocate(inode, mode, (uint64_t)off, (uint64_t)len, &cred);
	/* Content changes as by write(2), but this request has no flag that says whose rights count. */
	if (r == 0 && !f4_cred_is_root(s, ctx->uid))
		r = kill_privileges(s, inode, &cred);
	f4_reply_result(req, r);
}

void f4_fuse_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
		   struct fuse_file_info *fi)
{
	f4_auto_inode *inode = NULL;
	uint64_t pos = 0;
	int r;

	(void)fi;
	r = f4_node_get(f4_req_session(req), node, &inode);
	if (r == 0)
		r = off < 0 ? -ENXIO : f4_file_seek(inode, (uint64_t)off, whence, &pos);
	if (r < 0)
		f4_reply_result(req, r);
	else
		(void)fuse_reply_lseek(req, (off_t)pos);
}

void f4_fuse_readlink(fuse_req_t req, fuse_ino_t node)
{
	struct f4_session *s = f4_req_session(req);
	struct f4_worker *w = f4_worker_current(s);
	f4_auto_inode *inode = NULL;
	size_t len = 0;
	int r;

	r = f4_node_get(s, node, &inode);
	if (r == 0)
		r = f4_file_readlink(inode, (char *)w->transport.out, F4_TRANSPORT_MAX_IO, &len);
	if (r < 0) {
		f4_reply_result(req, r);
		return;
	}
	f4_inode_accessed(inode);
	(void)fuse_reply_buf(req, (const char *)w->transport.out, len);
}

/* sync(2) and syncfs(2); sent for fuseblk mounts. */
void f4_raw_syncfs(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		   size_t arg_len)
{
	(void)arg;
	(void)arg_len;
	f4_raw_error(w, in, f4_volume_sync(w->session->vol));
}
