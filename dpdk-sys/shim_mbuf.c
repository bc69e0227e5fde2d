/* Buffers: an mbuf's layout, pools, taking and giving back in bulk. */
#define ALLOW_EXPERIMENTAL_API

#include "shim.h"

#include <string.h>

#include <rte_common.h>
#include <rte_errno.h>
#include <rte_mempool.h>

unsigned int proa_layout(uint32_t *values, unsigned int room)
{
	const uint32_t layout[] = {
		sizeof(struct rte_mbuf),
		offsetof(struct rte_mbuf, buf_addr),
		offsetof(struct rte_mbuf, data_off),
		offsetof(struct rte_mbuf, refcnt),
		offsetof(struct rte_mbuf, nb_segs),
		offsetof(struct rte_mbuf, port),
		offsetof(struct rte_mbuf, ol_flags),
		offsetof(struct rte_mbuf, packet_type),
		offsetof(struct rte_mbuf, pkt_len),
		offsetof(struct rte_mbuf, data_len),
		offsetof(struct rte_mbuf, vlan_tci),
		offsetof(struct rte_mbuf, buf_len),
		offsetof(struct rte_mbuf, pool),
		offsetof(struct rte_mbuf, next),
	};
	unsigned int count = RTE_DIM(layout);

	memcpy(values, layout, sizeof(layout[0]) * RTE_MIN(count, room));
	return count;
}

struct rte_mempool *proa_pool_create(const char *name, unsigned int capacity, unsigned int cache,
				     uint16_t data_room, int socket, int *error)
{
	struct rte_mempool *pool;

	cache = RTE_MIN(cache, (unsigned int)RTE_MEMPOOL_CACHE_MAX_SIZE);
	pool = rte_pktmbuf_pool_create(name, capacity, cache, 0, RTE_PKTMBUF_HEADROOM + data_room, socket);
	*error = pool == NULL ? rte_errno : 0;
	return pool;
}

void proa_pool_free(struct rte_mempool *pool)
{
	rte_mempool_free(pool);
}

unsigned int proa_pool_available(const struct rte_mempool *pool)
{
	return rte_mempool_avail_count(pool);
}

unsigned int proa_pool_take(struct rte_mempool *pool, struct rte_mbuf **table, unsigned int count)
{
	unsigned int wanted = count;
	unsigned int got = 0;

	/* The mempool gives all or nothing: near its end ask for less and less. */
	while (wanted > 0 && got < count) {
		wanted = RTE_MIN(wanted, count - got);
		if (rte_mempool_get_bulk(pool, (void **)(table + got), wanted) == 0)
			got += wanted;
		else
			wanted /= 2;
	}
	return got;
}

void proa_pool_give(struct rte_mempool *pool, struct rte_mbuf **table, unsigned int count)
{
	rte_mempool_put_bulk(pool, (void *const *)table, count);
}

void proa_mbuf_free(struct rte_mbuf *mbuf)
{
	rte_pktmbuf_free(mbuf);
}

void proa_mbuf_free_bulk(struct rte_mbuf **table, unsigned int count)
{
	rte_pktmbuf_free_bulk(table, count);
}
