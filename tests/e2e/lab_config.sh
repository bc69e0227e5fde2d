# shellcheck shell=bash disable=SC2034  # the variables are read by lab.sh and by the tests
# The lab's addresses and the configuration files of its nodes. A test may change a variable before lab_up.

# What a test may want otherwise.
underlay=ipv4       # the outer IP version: ipv4 or ipv6
underlay_mtu=1500   # bytes
copies=2            # of the application "web"; the application "single" always sends one
gateway_workers=1
edge_workers=1
seal=none           # how both applications are carried: none or aes-256-gcm, with a key for each node
key_rotation=""     # seconds, as the topology file writes it; empty for the default
extra_topology=""   # appended to the topology file
services='"tcp/80", "tcp/5201", "udp/7", "udp/9", "icmp"' # of both applications
window=65536        # elimination window of every node
nat_pool_v6=2001:db8:9::100     # the gateway's external addresses of IPv6
extra_node=""       # tables appended to every node file
second_gateway=no   # yes: a gateway-2 beside the gateway; they stand in for each other, with the edge as their witness
lease_ms=600        # of that
plan=""             # how many paths to plan over links of extra_topology, instead of the two written ones
server=""           # where a control server listens, address:port: node files name it instead of the topology file
declare -A trace=() # more lines for the applications "web" and "single"

# Where everything is. All addresses are from the ranges reserved for documentation, but for the private origins.
client_v4=198.51.100.2 client_v6=2001:db8:c::2
edge_v4=198.51.100.1 edge_v6=2001:db8:c::1
gateway_v4=10.9.0.1 gateway_v6=2001:db8:9::1
gateway_2_v4=10.9.0.3 gateway_2_v6=2001:db8:9::3
origins_v4=(10.9.0.2) origins_v6=(2001:db8:9::2)
vip_v4=203.0.113.10 vip_v6=2001:db8:a::10
single_v4=203.0.113.11 single_v6=2001:db8:a::11
declare -A node_id=([edge]=1 [gateway]=2 [gateway-2]=3 [mid-1]=11 [mid-2]=12)
declare -A node_region=([edge]=paris [gateway]=frankfurt [gateway-2]=frankfurt [mid-1]=london [mid-2]=madrid)
declare -A node_role=([edge]=edge [gateway]=gateway [gateway-2]=gateway [mid-1]=intermediate [mid-2]=intermediate)
declare -A node_v4=([edge]=192.0.2.1 [gateway]=192.0.2.2 [gateway-2]=192.0.2.3 [mid-1]=192.0.2.11 [mid-2]=192.0.2.12)
declare -A node_v6=([edge]=2001:db8:1::1 [gateway]=2001:db8:1::2 [gateway-2]=2001:db8:1::3 [mid-1]=2001:db8:1::11 [mid-2]=2001:db8:1::12)

write_configs() {
    local node
    mkdir -p "$LAB_DIR/www"
    [[ $seal == none || -n $server ]] || for node in "${NODES[@]}"; do
        "$BIN/proa" key generate --out "$LAB_DIR/$node.key" >"$LAB_DIR/$node.public" || fail "no key for $node"
    done
    write_topology >"$LAB_DIR/overlay.toml"
    for node in "${NODES[@]}"; do write_node "$node" >"$LAB_DIR/$node.toml"; done
}

write_topology() {
    local node
    printf 'overlay_id = 1\ndisjoint = "require"\n'
    [[ -z $key_rotation ]] || printf 'key_rotation = %s\n' "$key_rotation"
    for node in "${NODES[@]}"; do write_topology_node "$node"; done
    cat <<-END

		[[path_set]]
		name = "paris-frankfurt"
		edge = "paris"
		gateway = "frankfurt"
	END
    if [[ -n $plan ]]; then
        printf 'plan = %s\n' "$plan"
    else
        printf 'paths = [{ id = 1, via = ["london"] }, { id = 2, via = ["madrid"] }]\n'
    fi
    write_application web "$vip_v4" "$vip_v6" "$copies"
    write_application single "$single_v4" "$single_v6" 1
    [[ $second_gateway == no ]] || cat <<-END

		[[takeover]]
		gateways = ["gateway", "gateway-2"]
		lease_ms = $lease_ms
	END
    printf '%s\n' "$extra_topology"
}

write_topology_node() {
    # Both gateways stand in one region.
    [[ $1 == gateway-2 ]] || printf '\n[[region]]\nname = "%s"\n' "${node_region[$1]}"
    cat <<-END

		[[node]]
		name = "$1"
		id = ${node_id[$1]}
		region = "${node_region[$1]}"
		roles = ["${node_role[$1]}"]
		underlay = ["${node_v4[$1]}", "${node_v6[$1]}"]
	END
    [[ $1 != edge ]] || printf 'workers = %s\n' "$edge_workers"
    [[ $seal == none || -n $server ]] || grep -h public_key "$LAB_DIR/$1.public"
    case $1 in
        gateway) printf 'workers = %s\nnat_pool = ["10.9.0.100-10.9.0.103", "%s"]\n' "$gateway_workers" "$nat_pool_v6" ;;
        gateway-2) printf 'workers = %s\nnat_pool = ["10.9.0.104-10.9.0.107", "2001:db8:9::200"]\n' "$gateway_workers" ;;
    esac
}

# write_application NAME VIP-V4 VIP-V6 COPIES
write_application() {
    cat <<-END

		[[application]]
		name = "$1"
		vips = [{ address = "$2", node = "edge" }, { address = "$3", node = "edge" }]
		services = [$services]
		gateway = "frankfurt"
		origins = [$(printf '{ address = "%s" }, ' "${origins_v4[@]}" "${origins_v6[@]}")]
		copies = $4
		seal = "$seal"
		underlay = "$underlay"
		${trace[$1]:-}
	END
}

# write_node NODE: its own file. Nodes share the machine's cores, so workers sleep when idle.
write_node() {
    local workers=1 core=$((${node_id[$1]} % $(nproc))) cores control_core
    [[ $1 != gateway* ]] || workers=$gateway_workers
    [[ $1 != edge ]] || workers=$edge_workers
    cores=$core
    control_core=$(((core + 1) % $(nproc)))
    ((workers == 1)) || cores=$(seq -s ', ' 0 $((workers - 1)))
    if [[ -n $server ]]; then
        printf 'server = { addresses = ["%s"], directory = "%s" }\n' "$server" "$1.server"
    else
        printf 'topology = "overlay.toml"\n'
    fi
    cat <<-END
		node = "$1"

		[eal]
		hugepages = false
		memory_mib = 256
		file_prefix = "$LAB-$1"

		[workers]
		cores = [$cores]
		control_core = $control_core
		poll = "adaptive"

		[limits]
		flows = 16384
		sessions = 16384
		window = $window

		[control]
		socket = "$LAB_DIR/$1.sock"
		metrics = "127.0.0.1:9464"
	END
    [[ $seal == none ]] || printf '\n[key]\nfile = "%s"\n' "$LAB_DIR/$1.key"
    printf '\n%s\n' "$extra_node"
    write_port wan0 0 "$underlay_mtu" "$workers" "${node_v4[$1]}/24" "${node_v6[$1]}/64"
    case $1 in
        edge) write_port lan0 1 1500 "$workers" "$edge_v4/24" "$edge_v6/64" ;;
        gateway) write_port lan0 1 1500 "$workers" "$gateway_v4/24" "$gateway_v6/64" ;;
        gateway-2) write_port lan0 1 1500 "$workers" "$gateway_2_v4/24" "$gateway_2_v6/64" ;;
    esac
}

# write_port INTERFACE NUMBER MTU QUEUES ADDRESS-V4 ADDRESS-V6: long rings, since a worker that shares its core with
# the lab's hosts may be away for several milliseconds.
write_port() {
    cat <<-END

		[[port]]
		name = "$1"
		device = "net_af_packet$2,iface=$1,qpairs=$4,blocksz=65536,framecnt=4096"
		mtu = $3
		addresses = ["$5", "$6"]
	END
}

write_nginx_config() {
    local address
    cat >"$LAB_DIR/nginx.conf" <<-END
		daemon off;
		user root;
		worker_processes 1;
		pid $LAB_DIR/nginx.pid;
		error_log stderr warn;
		events { worker_connections 1024; }
		http {
		  access_log off;
		  client_body_temp_path $LAB_DIR;
		  server {
		    $(printf 'listen %s:80; ' "${origins_v4[@]}")
		    $( ((${#origins_v6[@]} == 0)) || printf 'listen [%s]:80; ' "${origins_v6[@]}")
		    root $LAB_DIR/www;
		    location = /whoami { return 200 "\$server_addr \$remote_addr\n"; }
		  }
		}
	END
}
