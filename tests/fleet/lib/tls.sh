# shellcheck shell=bash disable=SC2154 # the settings are fleet.sh's
# Certificates for engines that listen on tcp. A client's lie as the docker CLI wants them in
# DOCKER_CERT_PATH: ca.pem, cert.pem, key.pem.

# certify CA-DIR DIR NAME USAGE [OTHER-NAMES]: a key and a certificate of that authority
certify() {
    local ca=$1 dir=$2 name=$3 usage=$4 more=${5:-}
    mkdir -p "$dir"
    new_certificate "$dir" "$name" -CA "$ca/cert.pem" -CAkey "$ca/key.pem" \
        -addext basicConstraints=critical,CA:false -addext "extendedKeyUsage=$usage" \
        ${more:+-addext "subjectAltName=$more"}
    cp "$ca/cert.pem" "$dir/ca.pem"
}

new_authority() {
    mkdir -p "$1"
    new_certificate "$1" "$2" -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign
}

new_certificate() {
    local dir=$1 name=$2
    shift 2
    # a configuration of our own: the machine's may add extensions that contradict these
    printf '[req]\ndistinguished_name=name\n[name]\n' >"$dir/openssl.cnf"
    openssl req -x509 -config "$dir/openssl.cnf" -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
        -days 3650 -subj "/CN=$name" "$@" -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null ||
        die 1 "openssl made no certificate for $name"
    rm "$dir/openssl.cnf"
}

# The engines' authority, a client it vouches for, and one of a stranger.
make_client_tls() {
    local dir=$STATE/client
    [[ -f $dir/tls-wrong/ca.pem ]] && return
    new_authority "$STATE/authority" "$FLEET_NAME authority"
    certify "$STATE/authority" "$dir/tls" "$FLEET_NAME client" clientAuth
    new_authority "$STATE/stranger" "$FLEET_NAME stranger"
    certify "$STATE/stranger" "$dir/tls-wrong" "$FLEET_NAME wrong" clientAuth
}

make_host_tls() {
    certify "$STATE/authority" "$STATE/$1/conf/tls" "$1" serverAuth "IP:$(address "$1"),DNS:$1"
}
