/* Ports: finding, configuring, watching; receiving and sending bursts. */
#define ALLOW_EXPERIMENTAL_API

#include "shim.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#define HASH_IP (RTE_ETH_RSS_IP)
#define HASH_PORTS (RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP)

int proa_port_find(const char *name)
{
	uint16_t port;

	return rte_eth_dev_get_port_by_name(name, &port) == 0 ? (int)port : -ENODEV;
}

int proa_port_next(unsigned int from)
{
	uint64_t port = rte_eth_find_next_owned_by((uint16_t)from, RTE_ETH_DEV_NO_OWNER);

	return port < RTE_MAX_ETHPORTS ? (int)port : -1;
}

int proa_port_plug(const char *device)
{
	return rte_dev_probe(device);
}

int proa_port_info(uint16_t port, struct proa_port_info *info)
{
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	struct rte_eth_dev_info device;
	struct rte_ether_addr mac;
	int failed;

	memset(info, 0, sizeof(*info));
	failed = rte_eth_dev_info_get(port, &device);
	if (failed != 0)
		return failed;
	failed = rte_eth_macaddr_get(port, &mac);
	if (failed != 0)
		return failed;
	failed = rte_eth_dev_get_mtu(port, &info->mtu);
	if (failed != 0)
		return failed;
	failed = rte_eth_dev_get_name_by_port(port, name);
	if (failed != 0)
		return failed;

	snprintf(info->driver, sizeof(info->driver), "%s", device.driver_name);
	snprintf(info->name, sizeof(info->name), "%s", name);
	memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
	info->mtu_min = device.min_mtu;
	info->mtu_max = device.max_mtu;
	info->rx_queues_max = device.max_rx_queues;
	info->tx_queues_max = device.max_tx_queues;
	info->socket = rte_eth_dev_socket_id(port);
	info->rss_ip = (device.flow_type_rss_offloads & HASH_IP) != 0;
	info->rss_ports = (device.flow_type_rss_offloads & HASH_PORTS) != 0;
	info->rss_key_len = device.hash_key_size;
	info->rss_table_len = device.reta_size;
	return 0;
}

int proa_port_set_reception(uint16_t port, uint8_t reception)
{
	int failed = 0;

	if (reception == 1)
		failed = rte_eth_allmulticast_enable(port);
	else if (reception == 2)
		failed = rte_eth_promiscuous_enable(port);
	/* A device that cannot filter has nothing to switch off. */
	return failed == -ENOTSUP ? 0 : failed;
}

static int start(uint16_t port, const struct proa_port_config *config, struct rte_mempool *pool, int *step)
{
	uint16_t rx_descriptors = config->rx_descriptors;
	uint16_t tx_descriptors = config->tx_descriptors;
	uint8_t key[PROA_RSS_KEY_MAX] = { 0 };
	struct rte_eth_conf wanted;
	struct rte_eth_dev_info device;
	uint16_t mtu_before;
	int failed;

	*step = PROA_STEP_CONFIGURE;
	failed = rte_eth_dev_info_get(port, &device);
	if (failed != 0)
		return failed;
	failed = rte_eth_dev_get_mtu(port, &mtu_before);
	if (failed != 0)
		return failed;

	memset(&wanted, 0, sizeof(wanted));
	wanted.rxmode.mtu = config->mtu;
	if (config->rx_queues > 1) {
		uint64_t hash = device.flow_type_rss_offloads & (HASH_IP | HASH_PORTS);

		if (hash != 0) {
			wanted.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
			wanted.rx_adv_conf.rss_conf.rss_hf = hash;
		}
		if (hash != 0 && config->rss_key_len != 0) {
			/* A device with a longer key uses its tail only for longer inputs than addresses and ports. */
			memcpy(key, config->rss_key, RTE_MIN(config->rss_key_len, sizeof(key)));
			wanted.rx_adv_conf.rss_conf.rss_key = key;
			wanted.rx_adv_conf.rss_conf.rss_key_len =
				device.hash_key_size != 0 ? device.hash_key_size : config->rss_key_len;
		}
	}
	failed = rte_eth_dev_configure(port, config->rx_queues, config->tx_queues, &wanted);
	if (failed != 0)
		return failed;

	*step = PROA_STEP_DESCRIPTORS;
	failed = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx_descriptors, &tx_descriptors);
	if (failed != 0)
		return failed;

	/* Software devices record the MTU when they are configured but take it over only when told so. */
	*step = PROA_STEP_MTU;
	if (config->mtu != mtu_before) {
		failed = rte_eth_dev_set_mtu(port, config->mtu);
		if (failed != 0 && failed != -ENOTSUP)
			return failed;
	}

	*step = PROA_STEP_RX_QUEUE;
	for (uint16_t queue = 0; queue < config->rx_queues; queue++) {
		failed = rte_eth_rx_queue_setup(port, queue, rx_descriptors, rte_eth_dev_socket_id(port), NULL, pool);
		if (failed != 0)
			return failed;
	}
	*step = PROA_STEP_TX_QUEUE;
	for (uint16_t queue = 0; queue < config->tx_queues; queue++) {
		failed = rte_eth_tx_queue_setup(port, queue, tx_descriptors, rte_eth_dev_socket_id(port), NULL);
		if (failed != 0)
			return failed;
	}

	*step = PROA_STEP_START;
	failed = rte_eth_dev_start(port);
	if (failed != 0)
		return failed;

	*step = PROA_STEP_RECEPTION;
	failed = proa_port_set_reception(port, config->reception);
	if (failed != 0)
		return failed;

	*step = PROA_STEP_NONE;
	return 0;
}

int proa_port_start(uint16_t port, const struct proa_port_config *config, struct rte_mempool *pool, int *step)
{
	int failed = start(port, config, pool, step);

	/* Some drivers return -1 and leave the cause in errno's place. */
	return failed == -1 && rte_errno != 0 ? -rte_errno : failed;
}

void proa_port_close(uint16_t port)
{
	struct rte_eth_dev_info device = { 0 };
	int known = rte_eth_dev_info_get(port, &device) == 0;

	(void)rte_eth_dev_stop(port);
	(void)rte_eth_dev_close(port);
	if (known && device.device != NULL && rte_eth_find_next_of(0, device.device) == RTE_MAX_ETHPORTS)
		(void)rte_dev_remove(device.device);
}

int proa_port_stats(uint16_t port, struct proa_port_stats *stats)
{
	struct rte_eth_stats device;
	int failed = rte_eth_stats_get(port, &device);

	if (failed != 0)
		return failed;
	*stats = (struct proa_port_stats){
		.rx_packets = device.ipackets,
		.rx_bytes = device.ibytes,
		.rx_missed = device.imissed,
		.rx_errors = device.ierrors,
		.rx_no_buffer = device.rx_nombuf,
		.tx_packets = device.opackets,
		.tx_bytes = device.obytes,
		.tx_errors = device.oerrors,
	};
	return 0;
}

int proa_port_link(uint16_t port, struct proa_link *link)
{
	struct rte_eth_link device;
	int failed = rte_eth_link_get_nowait(port, &device);

	if (failed != 0)
		return failed;
	link->up = device.link_status == RTE_ETH_LINK_UP;
	link->full_duplex = device.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
	link->speed_mbps = device.link_speed;
	return 0;
}

int proa_port_rss_key(uint16_t port, uint8_t *key, unsigned int room)
{
	struct rte_eth_dev_info device;
	struct rte_eth_rss_conf hash;
	int failed = rte_eth_dev_info_get(port, &device);

	if (failed != 0)
		return failed;
	if (device.hash_key_size == 0)
		return -ENOTSUP;
	if (device.hash_key_size > room)
		return -ENOSPC;
	memset(&hash, 0, sizeof(hash));
	hash.rss_key = key;
	hash.rss_key_len = device.hash_key_size;
	failed = rte_eth_dev_rss_hash_conf_get(port, &hash);
	return failed != 0 ? failed : (int)device.hash_key_size;
}

int proa_port_rss_table(uint16_t port, uint16_t *queues, unsigned int room)
{
	struct rte_eth_rss_reta_entry64 groups[PROA_RSS_TABLE_MAX / RTE_ETH_RETA_GROUP_SIZE];
	struct rte_eth_dev_info device;
	int failed = rte_eth_dev_info_get(port, &device);

	if (failed != 0)
		return failed;
	if (device.reta_size == 0)
		return -ENOTSUP;
	if (device.reta_size > room || device.reta_size > PROA_RSS_TABLE_MAX)
		return -ENOSPC;
	memset(groups, 0, sizeof(groups));
	for (unsigned int group = 0; group < RTE_DIM(groups); group++)
		groups[group].mask = UINT64_MAX;
	failed = rte_eth_dev_rss_reta_query(port, groups, device.reta_size);
	if (failed != 0)
		return failed;
	for (unsigned int entry = 0; entry < device.reta_size; entry++)
		queues[entry] = groups[entry / RTE_ETH_RETA_GROUP_SIZE].reta[entry % RTE_ETH_RETA_GROUP_SIZE];
	return device.reta_size;
}

uint16_t proa_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **table, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, table, count);
}

uint16_t proa_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **table, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, table, count);
}
