/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The image or device; the contract is in source.h.
 *
 * A device is asked for with O_EXCL: the kernel's claim keeps others away. Only where the helper
 * offers fuseblk it is taken without, because then the kernel claims it itself at the mount, and
 * two claims exclude each other.
 */
#include "server/service/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "server/service/lock.h"

static int failed(struct f4_source_failure *fail, int error, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int failed(struct f4_source_failure *fail, int error, const char *fmt, ...)
{
	va_list ap;

	fail->error = error;
	va_start(ap, fmt);
	(void)vsnprintf(fail->text, sizeof(fail->text), fmt, ap); /* cut, it still tells */
	va_end(ap);
	return F4_SOURCE_E_FAILED;
}

static int ask(struct f4_dialog *d, const struct f4_source_request *req, struct f4_source_file *ret)
{
	int flags = (req->read_only ? O_RDONLY : O_RDWR) | (req->direct ? O_DIRECT : 0);
	int r;

	if (req->may_be_fuseblk) {
		r = f4_dialog_open(d, true, req->path, flags, &ret->fd);
		if (r == 0)
			ret->fuseblk = true;
		if (r != -ENOTBLK)
			return r;
	}
	return f4_dialog_open(d, false, req->path, flags | O_EXCL, &ret->fd);
}

static int check_kind(const struct f4_source_request *req, struct f4_source_file *s,
		      struct f4_source_failure *fail)
{
	struct stat st;
	int r, flags;

	r = f4_fd_expect(s->fd, F4_FD_IMAGE, req->read_only ? O_RDONLY : O_RDWR);
	if (r == F4_FD_E_KIND)
		return failed(fail, ENOTBLK, "%s: neither a regular file nor a block device",
			      req->path);
	if (r == F4_FD_E_ACCESS)
		return failed(fail, EBADF, "%s: the helper opened it for less than was asked",
			      req->path);
	if (r < 0)
		return failed(fail, -r, "%s: %s", req->path, strerror(-r));
	/* Linux writes at the end of such a file, whatever position is asked for. */
	flags = fcntl(s->fd, F_GETFL);
	if (!req->read_only && (flags < 0 || (flags & O_APPEND)))
		return failed(fail, EINVAL, "%s: opened for appending, it can't be written in place",
			      req->path);
	if (fstat(s->fd, &st) < 0)
		return failed(fail, errno, "%s: %s", req->path, strerror(errno));
	s->is_block = S_ISBLK(st.st_mode);
	s->fuseblk = s->fuseblk && s->is_block;
	return 0;
}

/* A limit on the size of files would make writes to the end of the image fail, one day. */
static int check_size_limit(const struct f4_source_request *req, const struct f4_source_file *s,
			    struct f4_source_failure *fail)
{
	struct rlimit lim;
	struct stat st;

	if (req->read_only || s->is_block || fstat(s->fd, &st) < 0 ||
	    getrlimit(RLIMIT_FSIZE, &lim) < 0 || lim.rlim_cur == RLIM_INFINITY)
		return 0;
	if ((uint64_t)st.st_size <= lim.rlim_cur)
		return 0;
	return failed(fail, EFBIG, "%s: larger than the limit on file sizes allows to write (ulimit -f)",
		      req->path);
}

static int lock(const struct f4_source_request *req, const struct f4_source_file *s,
		struct f4_source_failure *fail)
{
	char who[64];
	int r = 0;

	if (s->is_block)
		r = f4_lock_check_loop(s->fd, req->read_only, req->proc_locks, who, sizeof(who));
	/* A device that we claim needs no lock beside the claim. */
	if (r == 0 && (!s->is_block || s->fuseblk))
		r = f4_lock_take(s->fd, req->read_only, req->proc_locks, who, sizeof(who));
	if (r == F4_LOCK_E_HELD)
		return failed(fail, EBUSY, "%s: in use by %s", req->path, who);
	if (r == -ENOLCK || r == -EOPNOTSUPP || r == -ENOSYS || (r == -EBADF && req->read_only))
		return 0; /* a filesystem without locks (some network ones): nothing to be had */
	if (r < 0)
		return failed(fail, -r, "%s: locking it: %s", req->path, strerror(-r));
	return 0;
}

int f4_source_get(struct f4_dialog *d, const struct f4_source_request *req,
		  struct f4_source_file *ret, struct f4_source_failure *fail)
{
	f4_cleanup(f4_source_file_done) struct f4_source_file s = F4_SOURCE_FILE_INIT;
	int r = ask(d, req, &s);

	if (r == F4_DIALOG_E_BROKEN)
		return r;
	if (r < 0)
		return failed(fail, -r, "%s: %s", req->path, strerror(-r));
	r = check_kind(req, &s, fail);
	if (r == 0)
		r = check_size_limit(req, &s, fail);
	if (r == 0)
		r = lock(req, &s, fail);
	if (r)
		return r;
	*ret = s;
	s.fd = -1;
	return 0;
}

void f4_source_file_done(struct f4_source_file *s)
{
	/* The lock belongs to the open file, of which the helper may still have a descriptor. */
	if (s->fd >= 0)
		f4_lock_release(s->fd);
	f4_close_p(&s->fd);
}
