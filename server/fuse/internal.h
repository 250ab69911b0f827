/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of server/fuse share: the session, its workers, helpers of the operations.
 *
 * An operation has three steps: decode, call the core, reply. It holds no lock of the core when it
 * replies. References to inodes are guarded locals and end after the reply, so that the work of a
 * last reference (freeing an unlinked file) is not waited for.
 *
 * Most operations come through libfuse's table (f4_fuse_ops). Some are taken from the raw request
 * before libfuse sees it (f4_raw_find): those that libfuse 3.14 doesn't know (SYNCFS, TMPFILE,
 * STATX), those of which it drops a field that we need (WRITE, SETXATTR), and those of the session
 * itself (INIT, DESTROY, INTERRUPT).
 *
 * Node ids are inode numbers, but FUSE's root is 1 where ext4's is 2.
 */
#ifndef F4_FUSE_INTERNAL_H
#define F4_FUSE_INTERNAL_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "server/ext4/inode.h"
#include "server/ext4/volume.h"
#include "server/fuse/fuse_abi.h"
#include "server/fuse/session.h"
#include "server/fuse/transport.h"

struct f4_inval;

struct f4_worker {
	struct f4_session *session; /* borrowed */
	uint32_t index;
	pthread_t thread;
	bool started;
	bool owes_destroy; /* its own: DESTROY was received and is answered at the end */
	_Atomic bool busy; /* works on a request: the volume must not go away */
	_Atomic bool gone; /* will not read another request */
	_Atomic int64_t since_s; /* CLOCK_MONOTONIC, coarse: when the request was taken; 0: none */
	struct f4_transport transport;
	_Atomic uint64_t requests[F4_SESSION_OPCODES]; /* written by this worker alone */
	/* While libfuse answers INIT: the reply that goes out in place of its own. NULL: none. */
	const struct f4_abi_init_out *init_reply; /* borrowed */
};

struct f4_session {
	struct f4_session_config config;
	int fd;			 /* owned by @se once that took it */
	struct fuse_session *se; /* owned */
	pthread_key_t worker_key; /* this thread's struct f4_worker */
	bool worker_key_made;
	struct f4_worker *workers; /* owned, @workers_count of them */
	struct f4_inval *inval;	   /* owned; its thread lives as long as the workers */
	uint32_t workers_count;

	pthread_mutex_t lock; /* leaf: nothing is called under it */
	pthread_cond_t cond;  /* gate, serving, ending, busy and gone of workers */
	bool gate;	      /* protected by lock: @vol is set */
	bool serving;	      /* protected by lock: INIT was answered */
	bool use_rings;	      /* protected by lock: INIT agreed on them */
	bool released;	      /* protected by lock: DESTROY may be answered */
	uint32_t waiting;     /* protected by lock: workers that have reached the gate */
	uint32_t rings;	      /* protected by lock: workers that have made a ring */
	int ring_error;	      /* protected by lock: why one could not; 0 */
	_Atomic bool ending;  /* set under lock: no further request touches the volume */
	bool destroyed;	      /* protected by lock: by DESTROY, not by a lost connection */
	uint64_t destroy_unique; /* protected by lock: of the DESTROY not answered yet; 0: none */
	uint32_t ring_workers;	 /* how many of the workers, from the second on, are to have a ring */
	uint32_t cpus;		 /* online */

	struct f4_volume *vol; /* borrowed; constant once the gate is open */
	_Atomic uint64_t abi_flags; /* what INIT agreed on, F4_ABI_* */
};

/*
 * How long the kernel may keep entries, absent entries and attributes, seconds. We are the only
 * writer: for ever, but small enough for every conversion that the kernel and libfuse do.
 */
#define F4_CACHE_FOREVER_S UINT64_C(1000000000)

/* --- session.c --- */
struct f4_worker *f4_worker_current(struct f4_session *s);
/*
 * f4_session_rings_ready - do all rings exist, and are they wanted? Says once why not.
 * @offered: INIT flags of the kernel
 */
bool f4_session_rings_ready(struct f4_session *s, uint64_t offered);
/* f4_session_end - no more requests; @unique: of a DESTROY to be answered later, or 0. */
void f4_session_end(struct f4_session *s, bool destroyed, uint64_t unique);

/* --- init.c --- */
/* f4_raw_init - answer INIT: libfuse gets it for its own state, our reply goes out. */
void f4_raw_init(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		 size_t arg_len);

/* --- ops.c --- */
extern const struct fuse_lowlevel_ops f4_fuse_ops;

/* A raw request: @arg has @arg_len bytes, all that followed the header. Each replies, if FUSE wants a reply. */
typedef void (*f4_raw_op)(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
			  size_t arg_len);
/* f4_raw_find - the handler of @opcode, or NULL: libfuse has it. */
f4_raw_op f4_raw_find(uint32_t opcode);

/* f4_raw_reply - header and @n further pieces (at most 3). 0 or as f4_transport_reply. */
int f4_raw_reply(struct f4_worker *w, const struct f4_abi_in_header *in, const struct iovec *iov,
		 int n);
/* f4_raw_error - @r: 0 (a reply without content) or a negative errno of the core. */
void f4_raw_error(struct f4_worker *w, const struct f4_abi_in_header *in, int r);

/* f4_fuse_errno - the core's negative errno as one that FUSE carries; never one that makes the kernel give up an operation. */
int f4_fuse_errno(int r);
/* f4_reply_result - 0 or the core's negative errno. */
void f4_reply_result(fuse_req_t req, int r);

static inline struct f4_session *f4_req_session(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline uint64_t f4_node_of(uint32_t ino)
{
	return ino == F4_ROOT_INO ? F4_ABI_ROOT_NODE : ino;
}

/* f4_node_get - a reference to the inode behind @node. -ESTALE and the like; -EIO after a shutdown. */
int f4_node_get(struct f4_session *s, uint64_t node, struct f4_inode **ret);
/* f4_node_get_always - the same, after a shutdown too: for requests that only look at it. */
int f4_node_get_always(struct f4_session *s, uint64_t node, struct f4_inode **ret);

/* f4_attr_fill - attributes in the kernel's form, which libfuse passes on as they are; ids as shown. */
void f4_attr_fill(const struct f4_session *s, const struct f4_attr *attr, struct f4_abi_attr *ret);
/* f4_attr_valid_s - how long the kernel may keep the attributes of @ino, seconds. */
uint64_t f4_attr_valid_s(const struct f4_session *s, uint32_t ino);

/*
 * f4_entry_take - a name now leads to @inode in the kernel: count the lookup and fill @ret.
 * @dir: the directory of the name, or NULL where it has none; entries of casefolded ones aren't kept
 * f4_entry_give_back - the reply did not arrive: the kernel has not counted.
 */
void f4_entry_take(const struct f4_session *s, struct f4_inode *dir, struct f4_inode *inode,
		   struct f4_abi_entry_out *ret);
void f4_entry_give_back(struct f4_inode *inode);

/* f4_invalidate_attr - the server changed attributes that the kernel believes to know. Before the reply. */
void f4_invalidate_attr(struct f4_session *s, struct f4_inode *inode);

/* --- ids.c: who asks, and whose the files are --- */
/*
 * f4_cred_init - the rights of a request from the kernel's @uid and @gid, in the image's ids.
 * Return: 0; -EOVERFLOW: they have no meaning in the image, so that nothing can be made theirs; @ret
 * is nobody then, which is good enough for what only asks for privilege.
 */
int f4_cred_init(const struct f4_session *s, uint32_t uid, uint32_t gid, uint32_t umask,
		 struct f4_cred *ret);
/* f4_cred_is_root - a request that may do what CAP_FSETID and the like allow. */
bool f4_cred_is_root(const struct f4_session *s, uint32_t uid);
/* f4_session_lets_in - may this request be answered? (allow_root) */
bool f4_session_lets_in(const struct f4_session *s, const struct f4_abi_in_header *in);
/* f4_acl_shift - the ids in an ACL attribute, in place: to the image's (@store) or as shown. Another
 * attribute, or one that is no ACL, stays as it is. Return: 0; -EOVERFLOW: an id has no meaning there. */
int f4_acl_shift(const struct f4_session *s, const char *name, void *value, size_t len, bool store);

/* --- the operations, by file; see fuse_lowlevel.h for each --- */
/* op_lookup.c */
void f4_fuse_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void f4_fuse_forget(fuse_req_t req, fuse_ino_t node, uint64_t n);
void f4_fuse_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void f4_fuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void f4_fuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void f4_fuse_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void f4_fuse_link(fuse_req_t req, fuse_ino_t node, fuse_ino_t parent, const char *name);
void f4_fuse_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void f4_fuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void f4_fuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
		    const char *new_name, unsigned int flags);
void f4_fuse_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
		    struct fuse_file_info *fi);
void f4_raw_tmpfile(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		    size_t arg_len);
/* op_attr.c */
void f4_fuse_getattr(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void f4_fuse_setattr(fuse_req_t req, fuse_ino_t node, struct stat *st, int to_set,
		     struct fuse_file_info *fi);
void f4_fuse_statfs(fuse_req_t req, fuse_ino_t node);
void f4_raw_statx(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		  size_t arg_len);
/* op_dir.c */
void f4_fuse_opendir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void f4_fuse_releasedir(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void f4_fuse_readdir(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		     struct fuse_file_info *fi);
void f4_fuse_readdirplus(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
			 struct fuse_file_info *fi);
void f4_fuse_fsyncdir(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
/* op_file.c */
void f4_fuse_open(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void f4_fuse_release(fuse_req_t req, fuse_ino_t node, struct fuse_file_info *fi);
void f4_fuse_read(fuse_req_t req, fuse_ino_t node, size_t size, off_t off,
		  struct fuse_file_info *fi);
void f4_raw_write(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		  size_t arg_len);
void f4_fuse_fsync(fuse_req_t req, fuse_ino_t node, int datasync, struct fuse_file_info *fi);
void f4_fuse_fallocate(fuse_req_t req, fuse_ino_t node, int mode, off_t off, off_t len,
		       struct fuse_file_info *fi);
void f4_fuse_lseek(fuse_req_t req, fuse_ino_t node, off_t off, int whence,
		   struct fuse_file_info *fi);
void f4_fuse_readlink(fuse_req_t req, fuse_ino_t node);
void f4_raw_syncfs(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		   size_t arg_len);
/* op_xattr.c */
void f4_fuse_getxattr(fuse_req_t req, fuse_ino_t node, const char *name, size_t size);
void f4_fuse_listxattr(fuse_req_t req, fuse_ino_t node, size_t size);
void f4_fuse_removexattr(fuse_req_t req, fuse_ino_t node, const char *name);
void f4_raw_setxattr(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		     size_t arg_len);
/* op_ioctl.c */
void f4_fuse_ioctl(fuse_req_t req, fuse_ino_t node, unsigned int cmd, void *arg,
		   struct fuse_file_info *fi, unsigned int flags, const void *in, size_t in_len,
		   size_t out_len);

#endif
