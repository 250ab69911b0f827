/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that the kernel must not keep: told from a thread of its own.
 *
 * Why: a direct write takes the pages out of the kernel's cache before it is sent. A buffered read
 * that comes between the two puts the old content back, and for asynchronous direct writes (aio,
 * io_uring) nothing in the kernel takes it out again: it would stay for ever. So a direct write to
 * a file of which pages were read tells the kernel once more, after the content is on its way.
 *
 * Why a thread: the kernel answers such a word only when it has got hold of each page, and pages
 * may be locked by reads that wait for a worker. A worker that waited for the kernel without end
 * could be the one that they wait for. So it waits for the thread for a moment only; what takes
 * longer is done a moment after the reply.
 */
#ifndef F4_FUSE_INVAL_H
#define F4_FUSE_INVAL_H

#include <stdint.h>

struct f4_inval;
struct fuse_session;

/*
 * f4_inval_new - with its thread, so before the seal and with signals blocked. @se: borrowed.
 * Return: 0, -ENOMEM, -EAGAIN.
 */
int f4_inval_new(struct fuse_session *se, struct f4_inval **ret);

/*
 * f4_inval_range - drop the pages of @len bytes at @pos of @node. Any worker; no lock of the core held.
 * Where far too much waits already (the kernel has not let go of a page for a second) it is left out,
 * with a word in the log.
 */
void f4_inval_range(struct f4_inval *v, uint64_t node, uint64_t pos, uint64_t len);

/*
 * f4_inval_free - end the thread, when no worker calls f4_inval_range any more. NULL allowed. A thread
 * that the kernel does not let go within 2 s (the connection outlives us) is left to the end of the
 * process, with all that it uses. Return: NULL, or @v of such a thread.
 */
struct f4_inval *f4_inval_free(struct f4_inval *v);

#endif
