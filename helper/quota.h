/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How much one user may ask of the broker: requests at a time, and requests a second.
 *
 * A table of users in fixed memory. Pure: the time comes from the caller.
 */
#ifndef F4_HELPER_QUOTA_H
#define F4_HELPER_QUOTA_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define F4_QUOTA_USERS	1024u /* that are remembered */
#define F4_QUOTA_LIVE	8u    /* requests at a time */
#define F4_QUOTA_BURST	200u  /* requests at once after a pause */
#define F4_QUOTA_RATE	50u   /* requests a second in the long run */

struct f4_quota_user {
	uid_t uid;
	unsigned int live;
	uint32_t milli;	  /* thousandths of requests that are left */
	int64_t since_ms; /* when .milli was right */
};

struct f4_quota {
	size_t n;
	struct f4_quota_user user[F4_QUOTA_USERS];
};

/* Positive results. */
enum f4_quota_error {
	F4_QUOTA_E_LIVE = 1, /* too many at a time */
	F4_QUOTA_E_RATE,     /* too many in the last seconds */
	F4_QUOTA_E_USERS,    /* too many users at a time */
};

/*
 * f4_quota_take - @uid begins a request.
 * @now_ms: of a clock that never goes back
 * Return: 0, to be followed by one f4_quota_give(); F4_QUOTA_E_*.
 */
int f4_quota_take(struct f4_quota *q, uid_t uid, int64_t now_ms);

/* f4_quota_give - a request of @uid has ended. */
void f4_quota_give(struct f4_quota *q, uid_t uid);

/* f4_quota_strerror - words for F4_QUOTA_E_*. */
const char *f4_quota_strerror(int e);

#endif
