/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/lib/disk_sim.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base/cleanup.h"

#define PAGE 4096u

struct sim {
	struct f4_disk disk;
	pthread_mutex_t lock;
	struct sim *parent; /* borrowed: where pages[i] is NULL its page counts */
	uint8_t **pages;    /* owned; each page or NULL */
	size_t n_pages;
	bool recording;
	struct f4_sim_event *events; /* owned */
	size_t n_events, max_events;
	uint64_t counts[6]; /* by bit of enum f4_sim_op */
	uint64_t atomic_pos, atomic_len;
	uint32_t fail_ops;
	uint64_t fail_in; /* operations until the failure; 0: none is set */
	int fail_error;
	bool fail_on;
	uint64_t failed;
};

struct f4_sim_walk {
	struct sim *sim;	/* borrowed: the events */
	struct f4_disk *durable; /* owned: content that no crash can take back */
	size_t at;		/* events before this one are durable or overwritten in `durable` */
};

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "disk_sim: out of memory\n");
		abort();
	}
	return p;
}

static struct sim *to_sim(struct f4_disk *d)
{
	return f4_container_of(d, struct sim, disk);
}

static const uint8_t *page_at(const struct sim *s, size_t i)
{
	while (s && !s->pages[i])
		s = s->parent;
	return s ? s->pages[i] : NULL;
}

static uint8_t *page_for_write(struct sim *s, size_t i)
{
	if (!s->pages[i]) {
		const uint8_t *old = s->parent ? page_at(s->parent, i) : NULL;

		s->pages[i] = must(malloc(PAGE));
		if (old)
			memcpy(s->pages[i], old, PAGE);
		else
			memset(s->pages[i], 0, PAGE);
	}
	return s->pages[i];
}

static void get_bytes(const struct sim *s, uint8_t *buf, uint64_t pos, size_t len)
{
	while (len > 0) {
		size_t off = (size_t)(pos % PAGE), n = PAGE - off;
		const uint8_t *page = page_at(s, (size_t)(pos / PAGE));

		if (n > len)
			n = len;
		if (page)
			memcpy(buf, page + off, n);
		else
			memset(buf, 0, n);
		buf += n;
		pos += n;
		len -= n;
	}
}

static void put_bytes(struct sim *s, const uint8_t *buf, uint64_t pos, size_t len)
{
	while (len > 0) {
		size_t off = (size_t)(pos % PAGE), n = PAGE - off;

		if (n > len)
			n = len;
		memcpy(page_for_write(s, (size_t)(pos / PAGE)) + off, buf, n);
		buf += n;
		pos += n;
		len -= n;
	}
}

/* --- failures --- */

static int bit_of(enum f4_sim_op op)
{
	return __builtin_ctz((unsigned int)op);
}

/* Count an operation; the errno with which it has to fail, or 0. */
static int count_op(struct sim *s, enum f4_sim_op op)
{
	s->counts[bit_of(op)]++;
	if (!(s->fail_ops & op) || s->fail_in == 0)
		return 0;
	if (s->fail_in > 1) {
		s->fail_in--;
		return 0;
	}
	if (!s->fail_on)
		s->fail_in = 0;
	s->failed++;
	return s->fail_error;
}

void f4_sim_fail(struct f4_disk *d, uint32_t ops, uint64_t nth, int error, bool on_and_on)
{
	struct sim *s = to_sim(d);

	pthread_mutex_lock(&s->lock);
	s->fail_ops = ops;
	s->fail_in = nth;
	s->fail_error = error;
	s->fail_on = on_and_on;
	pthread_mutex_unlock(&s->lock);
}

void f4_sim_fail_none(struct f4_disk *d)
{
	f4_sim_fail(d, 0, 0, 0, false);
}

uint64_t f4_sim_count(struct f4_disk *d, uint32_t ops)
{
	struct sim *s = to_sim(d);
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	for (int i = 0; i < 6; i++)
		n += ops & (1u << i) ? s->counts[i] : 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}

uint64_t f4_sim_failed(struct f4_disk *d)
{
	return to_sim(d)->failed;
}

/* --- the ops --- */

static struct f4_sim_event *add_event(struct sim *s, enum f4_sim_op op, uint64_t pos, size_t len)
{
	struct f4_sim_event *e;

	if (!s->recording)
		return NULL;
	if (s->n_events == s->max_events) {
		s->max_events = s->max_events ? s->max_events * 2 : 1024;
		s->events = must(realloc(s->events, s->max_events * sizeof(*s->events)));
	}
	e = &s->events[s->n_events++];
	*e = (struct f4_sim_event){ .op = op, .pos = pos, .len = (uint32_t)len };
	return e;
}

static int sim_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	struct sim *s = to_sim(d);
	int r;

	pthread_mutex_lock(&s->lock);
	r = count_op(s, F4_SIM_READ);
	for (int i = 0; i < n && r == 0; i++) {
		get_bytes(s, iov[i].iov_base, pos, iov[i].iov_len);
		pos += iov[i].iov_len;
	}
	pthread_mutex_unlock(&s->lock);
	return r;
}

/*
 * A device writes whole sectors: what is around the caller's bytes in the first and the last one is
 * as it was when the write was made, and goes with it.
 */
static int write_op(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos,
		    enum f4_sim_op op)
{
	struct sim *s = to_sim(d);
	struct f4_sim_event *e;
	uint64_t start = pos / F4_SIM_SECTOR * F4_SIM_SECTOR;
	size_t len = 0, at = (size_t)(pos - start), whole;
	uint8_t *flat;
	int r;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	whole = (at + len + F4_SIM_SECTOR - 1) / F4_SIM_SECTOR * F4_SIM_SECTOR;
	if (start + whole > d->size_bytes)
		whole = (size_t)(d->size_bytes - start);
	flat = must(malloc(whole));
	pthread_mutex_lock(&s->lock);
	get_bytes(s, flat, start, whole);
	for (int i = 0; i < n; i++) {
		memcpy(flat + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	r = count_op(s, op);
	if (r < 0) {
		whole = whole / 2 / F4_SIM_SECTOR * F4_SIM_SECTOR;
		op = F4_SIM_WRITE; /* a failed FUA promises nothing */
	}
	put_bytes(s, flat, start, whole);
	e = whole > 0 ? add_event(s, op, start, whole) : NULL;
	if (e)
		e->data = flat;
	else
		free(flat);
	pthread_mutex_unlock(&s->lock);
	return r;
}

static int sim_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return write_op(d, iov, n, pos, F4_SIM_WRITE);
}

static int sim_writev_fua(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return write_op(d, iov, n, pos, F4_SIM_FUA);
}

static int sim_flush(struct f4_disk *d)
{
	struct sim *s = to_sim(d);
	int r;

	pthread_mutex_lock(&s->lock);
	r = count_op(s, F4_SIM_FLUSH);
	if (r == 0)
		add_event(s, F4_SIM_FLUSH, 0, 0);
	pthread_mutex_unlock(&s->lock);
	return r;
}

/* A discarded range reads as garbage, so that nobody relies on it. */
static int sim_discard(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	struct sim *s = to_sim(d);
	struct f4_sim_event *e;
	uint8_t *junk = must(malloc((size_t)len));
	int r;

	memset(junk, 0xd5, (size_t)len);
	pthread_mutex_lock(&s->lock);
	r = count_op(s, F4_SIM_DISCARD);
	if (r == 0) {
		put_bytes(s, junk, pos, (size_t)len);
		e = add_event(s, F4_SIM_WRITE, pos, (size_t)len);
		if (e) {
			e->data = junk;
			junk = NULL;
		}
	}
	pthread_mutex_unlock(&s->lock);
	free(junk);
	return r;
}

static void drop_events(struct sim *s)
{
	for (size_t i = 0; i < s->n_events; i++)
		free(s->events[i].data);
	s->n_events = 0;
}

static void sim_destroy(struct f4_disk *d)
{
	struct sim *s = to_sim(d);

	for (size_t i = 0; i < s->n_pages; i++)
		free(s->pages[i]);
	free(s->pages);
	drop_events(s);
	free(s->events);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static const struct f4_disk_ops sim_ops = {
	.readv = sim_readv,
	.writev = sim_writev,
	.flush = sim_flush,
	.writev_fua = sim_writev_fua,
	.discard = sim_discard,
	.destroy = sim_destroy,
};

struct f4_disk *f4_sim_new(uint64_t size)
{
	struct sim *s = must(calloc(1, sizeof(*s)));

	s->disk.ops = &sim_ops;
	s->disk.size_bytes = size;
	s->disk.sector_size = F4_SIM_SECTOR;
	s->n_pages = (size_t)((size + PAGE - 1) / PAGE);
	s->pages = must(calloc(s->n_pages ? s->n_pages : 1, sizeof(*s->pages)));
	pthread_mutex_init(&s->lock, NULL);
	return &s->disk;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

struct f4_disk *f4_sim_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct f4_disk *d = NULL;
	uint8_t buf[PAGE];
	struct stat st;
	uint64_t pos = 0;
	ssize_t n = 0;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		d = f4_sim_new((uint64_t)st.st_size);
		while ((n = pread(fd, buf, PAGE, (off_t)pos)) > 0) {
			if (!is_zero(buf, (size_t)n))
				put_bytes(to_sim(d), buf, pos, (size_t)n);
			pos += (uint64_t)n;
		}
	}
	if (fd < 0 || n < 0) {
		perror(path);
		d = f4_disk_free(d);
	}
	if (fd >= 0)
		(void)close(fd); /* only read */
	return d;
}

int f4_sim_store(struct f4_disk *d, const char *path)
{
	struct sim *s = to_sim(d);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r = 0;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)d->size_bytes) < 0)
		r = -errno;
	for (size_t i = 0; i < s->n_pages && r == 0; i++) {
		const uint8_t *page = page_at(s, i);
		uint64_t left = d->size_bytes - (uint64_t)i * PAGE;
		size_t n = left < PAGE ? (size_t)left : PAGE;

		if (page && !is_zero(page, n) &&
		    pwrite(fd, page, n, (off_t)i * PAGE) != (ssize_t)n)
			r = -EIO;
	}
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

struct f4_disk *f4_sim_clone(struct f4_disk *d)
{
	struct f4_disk *c = f4_sim_new(d->size_bytes);

	to_sim(c)->parent = to_sim(d);
	return c;
}

struct borrowed {
	struct f4_disk disk;
	struct f4_disk *to; /* borrowed */
};

static struct f4_disk *lender(struct f4_disk *d)
{
	return f4_container_of(d, struct borrowed, disk)->to;
}

static int borrow_readv(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return sim_readv(lender(d), iov, n, pos);
}

static int borrow_writev(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return sim_writev(lender(d), iov, n, pos);
}

static int borrow_writev_fua(struct f4_disk *d, const struct iovec *iov, int n, uint64_t pos)
{
	return sim_writev_fua(lender(d), iov, n, pos);
}

static int borrow_flush(struct f4_disk *d)
{
	return sim_flush(lender(d));
}

static int borrow_discard(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	return sim_discard(lender(d), pos, len);
}

static void borrow_destroy(struct f4_disk *d)
{
	free(f4_container_of(d, struct borrowed, disk));
}

static const struct f4_disk_ops borrow_ops = {
	.readv = borrow_readv,
	.writev = borrow_writev,
	.flush = borrow_flush,
	.writev_fua = borrow_writev_fua,
	.discard = borrow_discard,
	.destroy = borrow_destroy,
};

struct f4_disk *f4_sim_borrow(struct f4_disk *d)
{
	struct borrowed *b = must(calloc(1, sizeof(*b)));

	b->disk = *d;
	b->disk.ops = &borrow_ops;
	b->to = d;
	return &b->disk;
}

bool f4_sim_same(struct f4_disk *a, struct f4_disk *b, uint64_t pos, uint64_t len)
{
	uint8_t x[PAGE], y[PAGE];

	while (len > 0) {
		size_t n = len < PAGE ? (size_t)len : PAGE;

		get_bytes(to_sim(a), x, pos, n);
		get_bytes(to_sim(b), y, pos, n);
		if (memcmp(x, y, n) != 0)
			return false;
		pos += n;
		len -= n;
	}
	return true;
}

/* --- recording and crash states --- */

void f4_sim_record(struct f4_disk *d)
{
	struct sim *s = to_sim(d);

	pthread_mutex_lock(&s->lock);
	drop_events(s);
	s->recording = true;
	pthread_mutex_unlock(&s->lock);
}

void f4_sim_mark(struct f4_disk *d, uint32_t tag)
{
	struct sim *s = to_sim(d);
	struct f4_sim_event *e;

	pthread_mutex_lock(&s->lock);
	e = add_event(s, F4_SIM_MARK, 0, 0);
	if (e)
		e->tag = tag;
	pthread_mutex_unlock(&s->lock);
}

const struct f4_sim_event *f4_sim_events(struct f4_disk *d, size_t *ret_n)
{
	*ret_n = to_sim(d)->n_events;
	return to_sim(d)->events;
}

void f4_sim_delay(struct f4_disk *d, bool (*late)(void *arg, uint64_t pos), void *arg)
{
	struct sim *s = to_sim(d);
	struct f4_sim_event *to = must(malloc((s->n_events + 1) * sizeof(*to)));
	struct f4_sim_event *held = must(malloc((s->n_events + 1) * sizeof(*held)));
	size_t n = 0, n_held = 0;

	for (size_t i = 0; i < s->n_events; i++) {
		const struct f4_sim_event *e = &s->events[i];

		if (e->op == F4_SIM_WRITE && late(arg, e->pos)) {
			held[n_held++] = *e;
			continue;
		}
		to[n++] = *e;
		if (e->op != F4_SIM_FUA)
			continue;
		memcpy(&to[n], held, n_held * sizeof(*held));
		n += n_held;
		n_held = 0;
	}
	memcpy(&to[n], held, n_held * sizeof(*held));
	free(held);
	free(s->events);
	s->events = to;
	s->max_events = s->n_events + 1;
}

struct f4_sim_walk *f4_sim_walk_new(struct f4_disk *d)
{
	struct f4_sim_walk *w = must(calloc(1, sizeof(*w)));
	struct sim *s = to_sim(d);

	assert(s->recording && s->parent);
	w->sim = s;
	w->durable = f4_sim_clone(&s->parent->disk);
	return w;
}

struct f4_sim_walk *f4_sim_walk_free(struct f4_sim_walk *w)
{
	if (w) {
		f4_disk_free(w->durable);
		free(w);
	}
	return NULL;
}

static void apply(struct sim *to, const struct f4_sim_event *e)
{
	if (e->data)
		put_bytes(to, e->data, e->pos, e->len);
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

void f4_sim_atomic(struct f4_disk *d, uint64_t pos, uint64_t len)
{
	to_sim(d)->atomic_pos = pos;
	to_sim(d)->atomic_len = len;
}

static void apply_torn(struct sim *to, const struct sim *from, const struct f4_sim_event *e,
		       uint64_t *rnd)
{
	bool together = next_random(rnd) & 1;

	for (uint32_t at = 0; at < e->len; at += F4_SIM_SECTOR) {
		uint32_t n = e->len - at < F4_SIM_SECTOR ? e->len - at : F4_SIM_SECTOR;
		bool in = e->pos + at >= from->atomic_pos &&
			  e->pos + at - from->atomic_pos < from->atomic_len;

		if (in ? together : (next_random(rnd) & 1))
			put_bytes(to, e->data + at, e->pos + at, n);
	}
}

/* The last write before @upto, or @upto when there is none since @from. */
static size_t last_write(const struct sim *s, size_t from, size_t upto)
{
	for (size_t i = upto; i > from; i--)
		if (s->events[i - 1].op == F4_SIM_WRITE || s->events[i - 1].op == F4_SIM_FUA)
			return i - 1;
	return upto;
}

struct f4_disk *f4_sim_crash(struct f4_sim_walk *w, size_t upto, enum f4_sim_crash how,
			     uint64_t seed)
{
	const struct sim *s = w->sim;
	size_t flushed = w->at, last;
	struct f4_disk *d;
	uint64_t rnd = seed;

	assert(upto <= s->n_events && upto >= w->at);
	for (size_t i = w->at; i < upto; i++)
		if (s->events[i].op == F4_SIM_FLUSH)
			flushed = i + 1;
	for (; w->at < flushed; w->at++)
		apply(to_sim(w->durable), &s->events[w->at]);

	d = f4_sim_clone(w->durable);
	last = last_write(s, w->at, upto);
	for (size_t i = w->at; i < upto; i++) {
		const struct f4_sim_event *e = &s->events[i];
		/* A FUA write may be what the power cut fell into, unless more happened after it. */
		bool cut = how == F4_SIM_TORN_LAST && i == last &&
			   (e->op == F4_SIM_WRITE || i + 1 == upto);

		if (!e->data)
			continue;
		if (cut || (how == F4_SIM_TORN && (e->op == F4_SIM_WRITE)))
			apply_torn(to_sim(d), s, e, &rnd);
		else if (how == F4_SIM_ALL || how == F4_SIM_TORN_LAST || e->op == F4_SIM_FUA ||
			 (how == F4_SIM_SUBSET && (next_random(&rnd) & 1)))
			apply(to_sim(d), e);
	}
	return d;
}
