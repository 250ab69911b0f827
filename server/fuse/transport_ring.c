/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An entry's memory is a page and F4_TRANSPORT_MAX_IO bytes: the kernel's headers at the start of the
 * page, room for their copy at its end, then the payload. The copy (at most 168 bytes) makes
 * the request one piece, as read(2) on /dev/fuse would give it, without touching the payload.
 */
#include "server/fuse/transport_ring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"
#include "protocol/base/fd.h"
#include "server/fuse/fuse_abi.h"
#include "server/fuse/transport.h"

struct entry {
	uint16_t queue;
	struct f4_abi_ring_headers *headers; /* in the ring's @map */
	uint8_t *payload;		     /* likewise */
	struct iovec iov[2];		     /* the two, as the kernel wants to be told */
};

struct f4_ring {
	struct io_uring io;
	bool io_made;
	uint8_t *map; /* owned: memory of all entries */
	size_t map_len;
	size_t page;
	struct entry *current; /* received and not replied to; NULL: none */
	bool pending;	       /* submission entries wait */
	uint32_t count;
	struct entry entries[]; /* @count */
};

uint32_t f4_ring_parse_cpus(const char *list)
{
	uint32_t n = 0;

	for (const char *p = list;;) {
		unsigned long first, last;
		char *end;

		if (*p < '0' || *p > '9')
			return 0;
		first = last = strtoul(p, &end, 10);
		if (*end == '-') {
			p = end + 1;
			if (*p < '0' || *p > '9')
				return 0;
			last = strtoul(p, &end, 10);
		}
		if (last < first || last > UINT16_MAX)
			return 0;
		n += (uint32_t)(last - first + 1);
		if (*end == '\0' || *end == '\n')
			return n;
		if (*end != ',')
			return 0;
		p = end + 1;
	}
}

/* A short file, whole, NUL-ended. */
static bool slurp(const char *path, char *buf, size_t size)
{
	f4_auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (len <= 0 || (size_t)len == size - 1)
		return false;
	buf[len] = '\0';
	return true;
}

uint32_t f4_ring_count_queues(void)
{
	char text[256];
	uint32_t n;

	/* INIT tells it for sure; but most machines have it off and need no rings for an answer. */
	if (!slurp("/sys/module/fuse/parameters/enable_uring", text, sizeof(text)) || text[0] != 'Y')
		return 0;
	if (!slurp("/sys/devices/system/cpu/possible", text, sizeof(text)))
		return 0;
	n = f4_ring_parse_cpus(text);
	return n <= F4_RING_QUEUES_MAX ? n : 0;
}

bool f4_ring_serves(const struct f4_ring_plan *plan, uint32_t queue)
{
	if (queue < plan->online && plan->workers >= plan->online)
		return plan->worker % plan->online == queue;
	return queue % plan->workers == plan->worker;
}

static uint32_t count_entries(const struct f4_ring_plan *plan)
{
	uint32_t n = 0;

	for (uint32_t q = 0; q < plan->queues; q++)
		n += f4_ring_serves(plan, q);
	return n;
}

static int map_entries(struct f4_ring *ring, const struct f4_ring_plan *plan)
{
	size_t each = ring->page + F4_TRANSPORT_MAX_IO;
	uint32_t i = 0;
	void *map;

	if (ring->count == 0)
		return 0;
	ring->map_len = ring->count * each;
	map = mmap(NULL, ring->map_len, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	ring->map = map;
	for (uint32_t q = 0; q < plan->queues; q++) {
		struct entry *e = &ring->entries[i];

		if (!f4_ring_serves(plan, q))
			continue;
		e->queue = (uint16_t)q;
		e->headers = (void *)(ring->map + i * each);
		e->payload = ring->map + i * each + ring->page;
		e->iov[0] = (struct iovec){ e->headers, sizeof(*e->headers) };
		e->iov[1] = (struct iovec){ e->payload, F4_TRANSPORT_MAX_IO };
		i++;
	}
	return 0;
}

/* liburing before 2.4 declares functions for the two that are used here, and does not export them. */
static int register_raw(const struct f4_ring *ring, unsigned int what, const void *arg, unsigned int n)
{
	return syscall(SYS_io_uring_register, ring->io.ring_fd, what, arg, n) < 0 ? -errno : 0;
}

/* The walls: see the top of transport_ring.h. Nothing can be registered once the ring is enabled. */
static int restrict_ring(struct f4_ring *ring, int fuse_fd)
{
	struct io_uring_restriction only[] = {
		{ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_URING_CMD },
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE },
	};
	int r;

	r = io_uring_register_files(&ring->io, &fuse_fd, 1);
	if (r == 0)
		r = register_raw(ring, IORING_REGISTER_RESTRICTIONS, only, F4_ARRAY_LEN(only));
	if (r == 0)
		r = register_raw(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	return r < 0 ? r : 0;
}

int f4_ring_new(int fuse_fd, const struct f4_ring_plan *plan, struct f4_ring **ret)
{
	struct io_uring_params params = {
		/*
		 * The kernel works for the ring (copies a request to its buffers) in the one thread
		 * that waits for it, when it waits: not by interrupting it.
		 */
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED |
			 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	struct f4_ring *ring;
	uint32_t n;
	int r;

	if (plan->queues == 0 || plan->queues > F4_RING_QUEUES_MAX || plan->online == 0 ||
	    plan->online > plan->queues || plan->worker >= plan->workers)
		return -EINVAL;
	n = count_entries(plan);
	ring = calloc(1, sizeof(*ring) + n * sizeof(ring->entries[0]));
	if (!ring)
		return -ENOMEM;
	ring->count = n;
	ring->page = (size_t)sysconf(_SC_PAGESIZE);
	r = map_entries(ring, plan);
	if (r == 0)
		r = io_uring_queue_init_params(n ? n : 1, &ring->io, &params);
	if (r == 0) {
		ring->io_made = true;
		r = restrict_ring(ring, fuse_fd);
	}
	if (r < 0) {
		f4_ring_free(ring);
		return r;
	}
	*ret = ring;
	return 0;
}

struct f4_ring *f4_ring_free(struct f4_ring *ring)
{
	if (!ring)
		return NULL;
	if (ring->io_made)
		io_uring_queue_exit(&ring->io);
	if (ring->map)
		(void)munmap(ring->map, ring->map_len); /* can't fail for a whole mapping of ours */
	free(ring);
	return NULL;
}

/* There is one submission entry for each entry, and each is used up before its entry comes back. */
static void prepare(struct f4_ring *ring, struct entry *e, enum f4_abi_ring_command command)
{
	struct f4_abi_ring_command_arg arg = { .queue = e->queue };
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

	assert(sqe);
	memset(sqe, 0, 2 * sizeof(*sqe)); /* SQE128 */
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0; /* the first registered file */
	sqe->cmd_op = command;
	sqe->user_data = (uint64_t)(e - ring->entries);
	if (command == F4_ABI_RING_REGISTER) {
		sqe->addr = (uint64_t)(uintptr_t)e->iov;
		sqe->len = F4_ARRAY_LEN(e->iov);
	} else {
		arg.commit_id = e->headers->commit_id;
	}
	memcpy(sqe->cmd, &arg, sizeof(arg));
	ring->pending = true;
}

int f4_ring_begin(struct f4_ring *ring)
{
	struct io_uring_cqe *cqe;
	unsigned int head;
	int r;

	for (uint32_t i = 0; i < ring->count; i++)
		prepare(ring, &ring->entries[i], F4_ABI_RING_REGISTER);
	ring->pending = false;
	r = io_uring_submit(&ring->io);
	if (r < 0)
		return r;
	/* An entry that is refused completes at once; a request that is there already stays for receive. */
	io_uring_for_each_cqe(&ring->io, head, cqe) {
		if (cqe->res < 0)
			return cqe->res;
	}
	return 0;
}

void f4_ring_flush(struct f4_ring *ring)
{
	if (ring->pending)
		(void)io_uring_submit(&ring->io); /* a lost connection shows at the next receive */
	ring->pending = false;
}

/* Submit what waits, and have one completion. Return: 0, F4_TRANSPORT_E_*, or a negative errno. */
static int wait_completion(struct f4_ring *ring, struct entry **ret_e, int *ret_res)
{
	struct io_uring_cqe *cqe = NULL;
	unsigned int head;
	int r = 0;

	if (io_uring_cq_ready(&ring->io) > 0)
		f4_ring_flush(ring);
	else
		r = io_uring_submit_and_wait(&ring->io, 1);
	ring->pending = false;
	if (r < 0 && r != -EINTR)
		return r;
	io_uring_for_each_cqe(&ring->io, head, cqe) {
		*ret_res = cqe->res;
		if (cqe->user_data >= ring->count)
			return -EPROTO;
		*ret_e = &ring->entries[cqe->user_data];
		io_uring_cq_advance(&ring->io, 1);
		return 0;
	}
	return F4_TRANSPORT_E_AGAIN;
}

/* Make one piece of the parts. Return: 0 or -EPROTO: not a request as we know them. */
static int assemble(struct entry *e, struct f4_ring_request *ret)
{
	const struct f4_abi_ring_headers *h = e->headers;
	struct f4_abi_in_header in;
	size_t op_len;

	memcpy(&in, h->in_out, sizeof(in));
	if (h->payload_size > F4_TRANSPORT_MAX_IO || in.len < sizeof(in) + h->payload_size)
		return -EPROTO;
	op_len = in.len - sizeof(in) - h->payload_size;
	if (op_len > sizeof(h->op_in) || op_len % 8 != 0)
		return -EPROTO;
	ret->payload = e->payload;
	ret->has_payload = h->payload_size > 0;
	ret->len = in.len;
	ret->in = e->payload - op_len - sizeof(in);
	memcpy(ret->in, &in, sizeof(in));
	memcpy(ret->in + sizeof(in), h->op_in, op_len);
	return 0;
}

static void reply_nothing(struct f4_ring *ring)
{
	struct f4_abi_out_header out = { .len = sizeof(out), .error = -EIO };
	struct f4_abi_in_header in;
	struct iovec iov = { &out, sizeof(out) };

	memcpy(&in, ring->current->headers->in_out, sizeof(in));
	out.unique = in.unique;
	(void)f4_ring_reply(ring, &iov, 1); /* fits */
}

int f4_ring_receive(struct f4_ring *ring, struct f4_ring_request *ret)
{
	struct entry *e = NULL;
	int r, res = 0;

	if (ring->current)
		reply_nothing(ring); /* a request without an answer would hold its entry for ever */
	r = wait_completion(ring, &e, &res);
	if (r != 0)
		return r;
	switch (res) {
	case 0:
		break;
	case -ENOTCONN:
	case -ECONNABORTED:
	case -ECANCELED:
		return F4_TRANSPORT_E_GONE;
	default:
		return res < 0 ? res : -EPROTO;
	}
	ring->current = e;
	return assemble(e, ret);
}

int f4_ring_reply(struct f4_ring *ring, const struct iovec *iov, int n)
{
	struct entry *e = ring->current;
	struct f4_abi_out_header out;
	size_t len = 0;
	int r = 0;

	assert(e && n >= 1 && iov[0].iov_len == sizeof(out));
	memcpy(&out, iov[0].iov_base, sizeof(out));
	for (int i = 1; i < n && r == 0; i++) {
		if (iov[i].iov_len > F4_TRANSPORT_MAX_IO - len) {
			out.error = -EIO;
			len = 0;
			r = -EMSGSIZE;
			break;
		}
		if (iov[i].iov_len && iov[i].iov_base != e->payload + len)
			memmove(e->payload + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	out.len = (uint32_t)(sizeof(out) + len);
	memcpy(e->headers->in_out, &out, sizeof(out));
	e->headers->flags = 0;
	e->headers->payload_size = (uint32_t)len;
	ring->current = NULL;
	prepare(ring, e, F4_ABI_RING_COMMIT_AND_FETCH);
	return r;
}
