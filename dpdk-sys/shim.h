/*
 * The whole surface between Proa and DPDK.
 *
 * DPDK's structures and inline functions change from release to release; what is declared here does not.
 * Functions on the packet path take bursts, so that one call serves up to 64 packets. The mbuf stays opaque:
 * Rust reads its fields at the offsets of `enum proa_layout`, which this header takes from DPDK's own
 * declaration and `proa_layout` says what the C compiler made of it, to be compared.
 *
 * Functions returning int give 0 or more on success and a negative errno on failure.
 */
#ifndef PROA_SHIM_H
#define PROA_SHIM_H

#include <stddef.h>
#include <stdint.h>

#include <rte_config.h>
#include <rte_mbuf.h>

/* Sizes and byte offsets of what Rust touches in a struct rte_mbuf. */
enum proa_layout {
	PROA_MBUF_SIZE = sizeof(struct rte_mbuf),
	PROA_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
	PROA_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
	PROA_MBUF_REFCNT = offsetof(struct rte_mbuf, refcnt),
	PROA_MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
	PROA_MBUF_PORT = offsetof(struct rte_mbuf, port),
	PROA_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
	PROA_MBUF_PACKET_TYPE = offsetof(struct rte_mbuf, packet_type),
	PROA_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
	PROA_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
	PROA_MBUF_VLAN_TCI = offsetof(struct rte_mbuf, vlan_tci),
	PROA_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
	PROA_MBUF_POOL = offsetof(struct rte_mbuf, pool),
	PROA_MBUF_NEXT = offsetof(struct rte_mbuf, next),
};

enum proa_limits {
	PROA_HEADROOM = RTE_PKTMBUF_HEADROOM,
	PROA_PORT_INVALID = RTE_MBUF_PORT_INVALID,
	/* Bit numbers in ol_flags: the data lives in another mbuf, or in memory DPDK does not manage. */
	PROA_FLAG_INDIRECT_BIT = __builtin_ctzll(RTE_MBUF_F_INDIRECT),
	PROA_FLAG_EXTERNAL_BIT = __builtin_ctzll(RTE_MBUF_F_EXTERNAL),
	PROA_RSS_KEY_MAX = 64,
	PROA_RSS_TABLE_MAX = 2048,
	PROA_NAME_MAX = 64,
};

/* Writes the layout the C compiler sees into `values` in the order of enum proa_layout; returns the count. */
unsigned int proa_layout(uint32_t *values, unsigned int room);

/* ---- The environment ---- */

int proa_eal_init(int argc, char **argv);
int proa_eal_cleanup(void);
const char *proa_version(void);
uint64_t proa_tsc_hz(void);
uint64_t proa_cycles(void);
/* The NUMA node of the calling thread's memory, or -1. */
int proa_socket_id(void);
int proa_thread_register(void);
void proa_thread_unregister(void);

/* Between begin and end, DPDK's log goes into a buffer instead of standard error. Not reentrant. */
void proa_log_begin(void);
/* Copies what was logged, at most `room` bytes and not terminated; returns the bytes copied. */
size_t proa_log_end(char *text, size_t room);

/* ---- Buffers ---- */

/* NULL on failure, the positive errno then in *error. */
struct rte_mempool *proa_pool_create(const char *name, unsigned int capacity, unsigned int cache,
				     uint16_t data_room, int socket, int *error);
void proa_pool_free(struct rte_mempool *pool);
unsigned int proa_pool_available(const struct rte_mempool *pool);
/* Takes up to `count` mbufs, fewer only when the pool runs dry. They are not reset. */
unsigned int proa_pool_take(struct rte_mempool *pool, struct rte_mbuf **table, unsigned int count);
/* Gives back direct, single-segment mbufs of this very pool with a reference count of one. */
void proa_pool_give(struct rte_mempool *pool, struct rte_mbuf **table, unsigned int count);
/* Frees mbufs of any kind and pool. */
void proa_mbuf_free(struct rte_mbuf *mbuf);
void proa_mbuf_free_bulk(struct rte_mbuf **table, unsigned int count);

/* ---- Ports ---- */

struct proa_port_info {
	char driver[PROA_NAME_MAX];
	char name[PROA_NAME_MAX];
	uint8_t mac[6];
	uint16_t mtu;
	uint16_t mtu_min;
	uint16_t mtu_max;
	uint16_t rx_queues_max;
	uint16_t tx_queues_max;
	/* -1 where the device has none. */
	int32_t socket;
	/* Whether the device can hash on IP addresses and on TCP or UDP ports. */
	uint8_t rss_ip;
	uint8_t rss_ports;
	/* Bytes in the hash key, entries in the queue table; 0 where unknown. */
	uint8_t rss_key_len;
	uint16_t rss_table_len;
};

struct proa_port_config {
	uint16_t rx_queues;
	uint16_t tx_queues;
	uint16_t rx_descriptors;
	uint16_t tx_descriptors;
	uint16_t mtu;
	/* 0: only own addresses; 1: all multicast too; 2: everything. */
	uint8_t reception;
	/* 0 with several queues: the device's own key. */
	uint8_t rss_key_len;
	uint8_t rss_key[PROA_RSS_KEY_MAX];
};

struct proa_port_stats {
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t rx_missed;
	uint64_t rx_errors;
	uint64_t rx_no_buffer;
	uint64_t tx_packets;
	uint64_t tx_bytes;
	uint64_t tx_errors;
};

struct proa_link {
	uint8_t up;
	uint8_t full_duplex;
	/* UINT32_MAX where unknown. */
	uint32_t speed_mbps;
};

/* What configuring was doing when it failed. */
enum proa_step {
	PROA_STEP_NONE,
	PROA_STEP_CONFIGURE,
	PROA_STEP_DESCRIPTORS,
	PROA_STEP_MTU,
	PROA_STEP_RX_QUEUE,
	PROA_STEP_TX_QUEUE,
	PROA_STEP_START,
	PROA_STEP_RECEPTION,
};

/* The port of this name (a PCI address or a vdev's name), or -ENODEV. */
int proa_port_find(const char *name);
/* The next port at or behind `from`, or -1. */
int proa_port_next(unsigned int from);
/* Plugs a device in; `device` is a PCI address or a vdev with its arguments. */
int proa_port_plug(const char *device);
int proa_port_info(uint16_t port, struct proa_port_info *info);
/* Configures and starts; on failure *step says where. */
int proa_port_start(uint16_t port, const struct proa_port_config *config, struct rte_mempool *pool, int *step);
/* Stops, closes, and unplugs the device where no other port shares it. */
void proa_port_close(uint16_t port);
int proa_port_set_reception(uint16_t port, uint8_t reception);
int proa_port_stats(uint16_t port, struct proa_port_stats *stats);
int proa_port_link(uint16_t port, struct proa_link *link);
/* Returns the key's length. */
int proa_port_rss_key(uint16_t port, uint8_t *key, unsigned int room);
/* Returns the number of entries. */
int proa_port_rss_table(uint16_t port, uint16_t *queues, unsigned int room);

uint16_t proa_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **table, uint16_t count);
uint16_t proa_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **table, uint16_t count);

#endif
