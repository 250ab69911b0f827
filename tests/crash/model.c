/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/lab.h"

/* What a piece held from request `op` on: the first `len` bytes by request `version`, then zeroes. */
struct value {
	uint32_t op, version;
	uint32_t len;
	bool maybe; /* or what it held before */
};

struct unit {
	struct value *vals; /* owned; rising op */
	uint32_t n, max;
};

struct hist {
	uint32_t ino, gen;
	struct unit *units; /* owned */
	uint64_t n_units;
	uint32_t *fsyncs;   /* owned; rising op */
	uint32_t n_fsyncs, max_fsyncs;
};

struct model {
	struct hist *hists; /* owned */
	size_t n, max;
};

struct model *model_new(void)
{
	return calloc(1, sizeof(struct model));
}

struct model *model_free(struct model *m)
{
	for (size_t i = 0; m && i < m->n; i++) {
		for (uint64_t u = 0; u < m->hists[i].n_units; u++)
			free(m->hists[i].units[u].vals);
		free(m->hists[i].units);
		free(m->hists[i].fsyncs);
	}
	if (m)
		free(m->hists);
	free(m);
	return NULL;
}

static struct hist *find(const struct model *m, uint32_t ino, uint32_t gen)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->hists[i].ino == ino && m->hists[i].gen == gen)
			return &m->hists[i];
	return NULL;
}

static struct hist *get(struct model *m, uint32_t ino, uint32_t gen)
{
	struct hist *h = find(m, ino, gen);

	if (h)
		return h;
	if (m->n == m->max) {
		m->max = m->max ? m->max * 2 : 64;
		m->hists = realloc(m->hists, m->max * sizeof(*m->hists));
	}
	h = &m->hists[m->n++];
	*h = (struct hist){ .ino = ino, .gen = gen };
	return h;
}

static void set(struct hist *h, uint64_t unit, struct value v)
{
	struct unit *u;

	if (unit >= h->n_units) {
		uint64_t n = unit + 1 > h->n_units * 2 ? unit + 1 : h->n_units * 2;

		h->units = realloc(h->units, n * sizeof(*h->units));
		memset(h->units + h->n_units, 0, (n - h->n_units) * sizeof(*h->units));
		h->n_units = n;
	}
	u = &h->units[unit];
	if (u->n == u->max) {
		u->max = u->max ? u->max * 2 : 4;
		u->vals = realloc(u->vals, u->max * sizeof(*u->vals));
	}
	u->vals[u->n++] = v;
}

/* What it holds for certain; *ret_maybe: a failed request may have made it zero since. */
static struct value last(const struct hist *h, uint64_t unit, bool *ret_maybe)
{
	*ret_maybe = false;
	for (uint32_t i = unit < h->n_units ? h->units[unit].n : 0; i > 0; i--) {
		if (!h->units[unit].vals[i - 1].maybe)
			return h->units[unit].vals[i - 1];
		*ret_maybe = true;
	}
	return (struct value){ 0 };
}

void model_write(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len)
{
	struct hist *h = get(m, ino, gen);

	for (uint64_t at = pos; at < pos + len; at += UNIT)
		set(h, at / UNIT, (struct value){ .op = op, .version = op,
						  .len = pos + len - at < UNIT
								 ? (uint32_t)(pos + len - at) : UNIT });
}

void model_truncate(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t size)
{
	struct hist *h = get(m, ino, gen);

	for (uint64_t u = size / UNIT; u < h->n_units; u++) {
		bool maybe;
		struct value v = last(h, u, &maybe);
		uint32_t keep = u == size / UNIT ? (uint32_t)(size % UNIT) : 0;

		if (v.len <= keep)
			continue;
		v.op = op;
		v.len = keep;
		set(h, u, v);
		if (maybe)
			set(h, u, (struct value){ .op = op, .maybe = true });
	}
}

void model_zero(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len)
{
	struct hist *h = get(m, ino, gen);
	bool maybe;

	for (uint64_t u = pos / UNIT; u < (pos + len) / UNIT && u < h->n_units; u++)
		if (last(h, u, &maybe).len > 0)
			set(h, u, (struct value){ .op = op });
}

void model_maybe_zero(struct model *m, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos,
		      uint64_t len)
{
	struct hist *h = get(m, ino, gen);

	for (uint64_t u = pos / UNIT; u < (pos + len) / UNIT && u < h->n_units; u++)
		if (h->units[u].n > 0)
			set(h, u, (struct value){ .op = op, .maybe = true });
}

void model_fsync(struct model *m, uint32_t op, uint32_t ino, uint32_t gen)
{
	struct hist *h = get(m, ino, gen);

	if (h->n_fsyncs == h->max_fsyncs) {
		h->max_fsyncs = h->max_fsyncs ? h->max_fsyncs * 2 : 8;
		h->fsyncs = realloc(h->fsyncs, h->max_fsyncs * sizeof(*h->fsyncs));
	}
	h->fsyncs[h->n_fsyncs++] = op;
}

static void fill_unit(uint8_t out[UNIT], uint32_t version, uint32_t len, uint32_t ino, uint32_t gen,
		      uint64_t unit)
{
	uint64_t x = ((uint64_t)ino << 32 | gen) ^ unit * 0x9e3779b97f4a7c15ull ^ (uint64_t)version << 17;

	f4_store_le32(out, 0x54503446u);
	f4_store_le32(out + 4, ino);
	f4_store_le32(out + 8, (uint32_t)unit);
	f4_store_le32(out + 12, version);
	for (uint32_t i = 16; i < UNIT; i += 8) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		f4_store_le64(out + i, x);
	}
	memset(out + len, 0, UNIT - len);
}

void model_fill(uint8_t *buf, uint32_t op, uint32_t ino, uint32_t gen, uint64_t pos, uint64_t len)
{
	uint8_t unit[UNIT];

	for (uint64_t at = 0; at < len; at += UNIT) {
		fill_unit(unit, op, UNIT, ino, gen, (pos + at) / UNIT);
		memcpy(buf + at, unit, len - at < UNIT ? len - at : UNIT);
	}
}

static bool matches(const uint8_t *data, uint32_t len, struct value v, const struct hist *h,
		    uint64_t unit)
{
	uint8_t want[UNIT];

	if (v.len == 0)
		memset(want, 0, UNIT);
	else
		fill_unit(want, v.version, v.len, h->ino, h->gen, unit);
	return memcmp(data, want, len) == 0;
}

/* The last fsync at or before @done. */
static uint32_t fsync_floor(const struct hist *h, uint32_t done)
{
	uint32_t floor = 0;

	for (uint32_t i = 0; i < h->n_fsyncs && h->fsyncs[i] <= done; i++)
		floor = h->fsyncs[i];
	return floor;
}

static bool unit_ok(const struct hist *h, uint64_t unit, const uint8_t *data, uint32_t len,
		    uint32_t base, uint32_t begun, bool strict)
{
	struct value before = { 0 }, zero = { 0 };
	const struct unit *u;
	bool maybe = false;

	if (unit >= h->n_units)
		return matches(data, len, before, h, unit);
	u = &h->units[unit];
	for (uint32_t i = 0; i < u->n; i++) {
		if (u->vals[i].op <= base && !u->vals[i].maybe)
			before = u->vals[i];
		else if (u->vals[i].op <= base)
			maybe = true;
		else if (!strict && u->vals[i].op <= begun && matches(data, len, u->vals[i], h, unit))
			return true;
	}
	/* A failed request may have made it zero; what was truncated after that stays what it was. */
	if (maybe && matches(data, len, zero, h, unit))
		return true;
	return matches(data, len, before, h, unit);
}

const char *model_check(const struct model *m, uint32_t ino, uint32_t gen, const uint8_t *data,
			uint64_t len, uint32_t k, uint32_t done, uint32_t begun, bool strict,
			uint64_t *ret_unit)
{
	static const struct hist none;
	const struct hist *h = find(m, ino, gen);
	uint32_t floor;

	if (!h)
		h = &none;
	floor = fsync_floor(h, done);
	for (uint64_t at = 0; at < len; at += UNIT) {
		uint32_t n = len - at < UNIT ? (uint32_t)(len - at) : UNIT;

		*ret_unit = at / UNIT;
		if (unit_ok(h, at / UNIT, data + at, n, floor > k ? floor : k, begun, strict))
			continue;
		if (f4_load_le32(data + at) == 0x54503446u && n >= 16 &&
		    f4_load_le32(data + at + 4) != ino)
			return "a piece of another file";
		if (unit_ok(h, at / UNIT, data + at, n, 0, begun, false))
			return "an older piece than was promised";
		return "a piece that was never written";
	}
	return NULL;
}

void model_explain(const struct model *m, uint32_t ino, uint32_t gen, uint64_t unit,
		   const uint8_t *data)
{
	const struct hist *h = find(m, ino, gen);

	printf("      there: magic %08x inode %u piece %u request %u\n", f4_load_le32(data),
	       f4_load_le32(data + 4), f4_load_le32(data + 8), f4_load_le32(data + 12));
	for (uint32_t i = 0; h && unit < h->n_units && i < h->units[unit].n; i++) {
		const struct value *v = &h->units[unit].vals[i];

		printf("      request %u: %s%u bytes of request %u\n", v->op, v->maybe ? "maybe " : "",
		       v->len, v->version);
	}
	for (uint32_t i = 0; h && i < h->n_fsyncs; i++)
		printf("      fsync: request %u\n", h->fsyncs[i]);
}
