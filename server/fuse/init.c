/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * INIT: what we and the kernel agree on.
 *
 * libfuse 3.14 can't ask for some of what we need (HANDLE_KILLPRIV_V2, SETXATTR_EXT, the flags of
 * the second word), and what it asks for by itself differs between releases. So libfuse sees the
 * request, for its own state, and the reply that goes out is made here whole: one set of flags with
 * every libfuse.
 *
 * What is asked for, and why:
 *   ASYNC_READ, ASYNC_DIO, BIG_WRITES, MAX_PAGES   large and parallel I/O
 *   PARALLEL_DIROPS   our directories have reader-writer locks
 *   DO_READDIRPLUS, READDIRPLUS_AUTO   a walk with stat costs one request for each page of names
 *   CACHE_SYMLINKS    nobody changes a target behind the kernel's back
 *   EXPLICIT_INVAL_DATA   nor file content: pages stay until the kernel itself drops them (without
 *                     this flag, a changed size throws them away)
 *   DONT_MASK         default ACLs replace the umask, so the core must apply it
 *   POSIX_ACL         the kernel checks permissions by ACLs; it turns default_permissions on, so not
 *                     under fakeroot
 *   HANDLE_KILLPRIV_V2   set-uid and set-gid are cleared by us when the kernel says so; the kernel
 *                     then needn't ask for security.capability before each write
 *   SETXATTR_EXT      tells when setting an ACL must clear set-gid
 *   EXPORT_SUPPORT    file handles: node ids are inode numbers and generations are real, so that a
 *                     handle outlives the kernel's memory of it
 *   WRITEBACK_CACHE   only by option: it gives up exact ENOSPC
 *   ALLOW_IDMAP       only by option: all requests but creations then come without a uid, which gives
 *                     up reserved blocks for root and most private ioctls
 *   OVER_IO_URING     where the rings exist; the kernel then holds requests back until every queue
 *                     has an entry, which the workers register as soon as this is answered
 * Not asked for: AUTO_INVAL_DATA (a getattr before each read), ATOMIC_O_TRUNC (open would have to
 * be a request), locks (they stay local to the kernel), splice, passthrough.
 */
#include <string.h>

#include "protocol/base/log.h"
#include "server/fuse/internal.h"

#define WANT_ALWAYS                                                                              \
	(F4_ABI_ASYNC_READ | F4_ABI_BIG_WRITES | F4_ABI_DONT_MASK | F4_ABI_DO_READDIRPLUS |      \
	 F4_ABI_READDIRPLUS_AUTO | F4_ABI_ASYNC_DIO | F4_ABI_PARALLEL_DIROPS | F4_ABI_MAX_PAGES | \
	 F4_ABI_CACHE_SYMLINKS | F4_ABI_EXPLICIT_INVAL_DATA | F4_ABI_HANDLE_KILLPRIV_V2 |        \
	 F4_ABI_SETXATTR_EXT | F4_ABI_EXPORT_SUPPORT | F4_ABI_INIT_EXT)

/* Requests that the kernel lets wait in the background (readahead, asynchronous direct I/O). */
#define MAX_BACKGROUND 64u
#define CONGESTION     48u
/* Older protocols have other struct sizes; the oldest kernel that we support speaks 7.36. */
#define MIN_MINOR 36u

static uint64_t wanted_flags(const struct f4_session *s)
{
	uint64_t want = WANT_ALWAYS;

	if (s->config.strict_atime)
		want &= ~F4_ABI_CACHE_SYMLINKS; /* each readlink must be seen */
	if (s->config.writeback_cache)
		want |= F4_ABI_WRITEBACK_CACHE;
	if (s->config.default_permissions && !s->vol->opt.no_acl)
		want |= F4_ABI_POSIX_ACL;
	if (s->config.allow_idmap && s->config.default_permissions) /* else the kernel refuses INIT */
		want |= F4_ABI_ALLOW_IDMAP;
	return want;
}

static void fill_reply(struct f4_session *s, const struct f4_abi_init_in *arg,
		       struct f4_abi_init_out *out)
{
	uint64_t offered = arg->flags, agreed;

	if (offered & F4_ABI_INIT_EXT)
		offered |= (uint64_t)arg->flags2 << 32;
	agreed = offered & wanted_flags(s);
	s->use_rings = f4_session_rings_ready(s, offered);
	if (s->use_rings)
		agreed |= F4_ABI_OVER_IO_URING;
	atomic_store(&s->abi_flags, agreed);

	memset(out, 0, sizeof(*out));
	out->major = F4_ABI_MAJOR;
	out->minor = arg->minor < F4_ABI_MINOR ? arg->minor : F4_ABI_MINOR;
	out->max_readahead = arg->max_readahead;
	out->flags = (uint32_t)agreed;
	out->flags2 = (uint32_t)(agreed >> 32);
	out->max_background = MAX_BACKGROUND;
	out->congestion_threshold = CONGESTION;
	out->max_write = F4_TRANSPORT_MAX_IO;
	out->max_pages = (uint16_t)(F4_TRANSPORT_MAX_IO / (size_t)sysconf(_SC_PAGESIZE));
	out->time_gran = 1;
}

void f4_raw_init(struct f4_worker *w, const struct f4_abi_in_header *in, const void *arg,
		 size_t arg_len)
{
	struct f4_session *s = w->session;
	struct fuse_buf buf = { .mem = w->transport.in, .size = in->len };
	struct f4_abi_init_in init = { 0 };
	struct f4_abi_init_out reply;

	if (arg_len < F4_ABI_INIT_IN_OLD_SIZE) {
		f4_raw_error(w, in, -EPROTO);
		return;
	}
	memcpy(&init, arg, arg_len < sizeof(init) ? arg_len : sizeof(init));
	if (init.major > F4_ABI_MAJOR) {
		/* libfuse offers version 7; the kernel then sends a second INIT */
		fuse_session_process_buf(s->se, &buf);
		return;
	}
	if (init.major < F4_ABI_MAJOR || init.minor < MIN_MINOR) {
		f4_err("FUSE protocol %u.%u of this kernel: at least %u.%u is needed", init.major,
		       init.minor, F4_ABI_MAJOR, MIN_MINOR);
		f4_raw_error(w, in, -EPROTO);
		return;
	}
	fill_reply(s, &init, &reply);
	w->init_reply = &reply;
	fuse_session_process_buf(s->se, &buf);
	w->init_reply = NULL;

	f4_debug("FUSE protocol %u.%u, flags %#llx", reply.major, reply.minor,
		 (unsigned long long)atomic_load(&s->abi_flags));
	(void)pthread_mutex_lock(&s->lock);
	s->serving = true;
	(void)pthread_cond_broadcast(&s->cond);
	(void)pthread_mutex_unlock(&s->lock);
}
