# Which container engine is used, and how. Sourced after place.sh; leaves ENGINE (podman or docker) and IMAGE.
# podman comes first: it needs no daemon. Its images lie under target/, apart from the user's own.
IMAGE=localhost/postern-envoy:1.40.0
CONTAINER=$ROOT/target/container

if ! command -v podman >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
    ENGINE=docker
else
    ENGINE=podman
    mkdir -p "$CONTAINER"
    # The run-time folder holds sockets, whose paths must be short, so it cannot lie under target/.
    runroot=/tmp/postern-podman-$(printf '%s' "$ROOT" | cksum | cut -d' ' -f1)
    printf '[storage]\ndriver = "overlay"\ngraphroot = "%s"\nrunroot = "%s"\n' "$CONTAINER/storage" "$runroot" >"$CONTAINER/storage.conf.$$"
    # WHY no limits: where raising them is not permitted (a machine that is a container itself) podman's defaults fail.
    {
        printf '[containers]\ndefault_ulimits = []\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\n'
        command -v runc >/dev/null 2>&1 && printf 'runtime = "runc"\n'
    } >"$CONTAINER/containers.conf.$$"
    mv "$CONTAINER/storage.conf.$$" "$CONTAINER/storage.conf"
    mv "$CONTAINER/containers.conf.$$" "$CONTAINER/containers.conf"
    export CONTAINERS_CONF="$CONTAINER/containers.conf" CONTAINERS_STORAGE_CONF="$CONTAINER/storage.conf"
fi
