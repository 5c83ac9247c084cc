set -e
if [ ! -s /data/cluster/PG_VERSION ]; then
    /postgres/bin/initdb --pgdata /data/cluster --username postgres --pwfile /admin/password --auth-host scram-sha-256 \
        --auth-local trust --encoding UTF8 --locale-provider builtin --builtin-locale C.UTF-8 --no-sync
    echo 'host all all all scram-sha-256' >> /data/cluster/pg_hba.conf
fi
exec /postgres/bin/postgres -D /data/cluster -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=200 \
    -c ssl=on -c ssl_cert_file=/tls/tls.crt -c ssl_key_file=/tls/tls.key
