/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "server/fuse/transport.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/fuse/fuse_abi.h"
#include "server/fuse/transport_ring.h"

/* Both headers of a WRITE, in front of its payload. */
#define WRITE_HEADERS (sizeof(struct f4_abi_in_header) + sizeof(struct f4_abi_write_in))

int f4_transport_init(struct f4_transport *t, int fd)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *map;

	static_assert(WRITE_HEADERS % 8 == 0, "requests stay aligned for their structs");
	memset(t, 0, sizeof(*t));
	t->fd = fd;
	t->map_len = page + 2 * (size_t)F4_TRANSPORT_MAX_IO;
	map = mmap(NULL, t->map_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	t->map = map;
	t->device_in = t->map + page - WRITE_HEADERS;
	t->device_in_len = WRITE_HEADERS + F4_TRANSPORT_MAX_IO;
	t->device_out = t->map + page + F4_TRANSPORT_MAX_IO;
	t->in = t->device_in;
	t->out = t->device_out;
	return 0;
}

void f4_transport_done(struct f4_transport *t)
{
	f4_transport_drop_ring(t);
	if (t->map)
		(void)munmap(t->map, t->map_len); /* can't fail for a whole mapping of ours */
	memset(t, 0, sizeof(*t));
	t->fd = -1;
}

int f4_transport_make_ring(struct f4_transport *t, const struct f4_ring_plan *plan)
{
	return f4_ring_new(t->fd, plan, &t->ring);
}

int f4_transport_begin_ring(struct f4_transport *t)
{
	int r = f4_ring_begin(t->ring);

	if (r < 0)
		f4_transport_drop_ring(t);
	else
		t->on_ring = true;
	return r;
}

void f4_transport_drop_ring(struct f4_transport *t)
{
	t->ring = f4_ring_free(t->ring);
	t->on_ring = false;
	t->in = t->device_in;
	t->out = t->device_out;
}

static int receive_from_device(struct f4_transport *t, size_t *ret_len)
{
	ssize_t n = read(t->fd, t->device_in, t->device_in_len);

	if (n < 0) {
		switch (errno) {
		case EINTR:
		case EAGAIN:
		case ENOENT: /* the request was taken back between queue and read */
			return F4_TRANSPORT_E_AGAIN;
		case EPERM:
			return F4_TRANSPORT_E_UNMOUNTED;
		case ENODEV:
		case ECONNABORTED:
			return F4_TRANSPORT_E_GONE;
		default:
			return -errno;
		}
	}
	if ((size_t)n < sizeof(struct f4_abi_in_header))
		return -EPROTO;
	*ret_len = (size_t)n;
	return 0;
}

int f4_transport_receive(struct f4_transport *t, size_t *ret_len)
{
	struct f4_ring_request req;
	int r;

	if (!t->on_ring)
		return receive_from_device(t, ret_len);
	r = f4_ring_receive(t->ring, &req);
	if (r != 0)
		return r;
	t->in = req.in;
	/* A reply may be made while the names of its request are still being looked at. */
	t->out = req.has_payload ? t->device_out : req.payload;
	*ret_len = req.len;
	return 0;
}

int f4_transport_reply(struct f4_transport *t, const struct iovec *iov, int n)
{
	if (t->on_ring)
		return f4_ring_reply(t->ring, iov, n);
	return f4_transport_notify(t->fd, iov, n);
}

void f4_transport_flush(struct f4_transport *t)
{
	if (t->on_ring)
		f4_ring_flush(t->ring);
}

int f4_transport_notify(int fd, const struct iovec *iov, int n)
{
	ssize_t r;

	do {
		r = writev(fd, iov, n);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}
