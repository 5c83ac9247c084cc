# The name resolves to this pod, so it is an address to listen on as well as one to be called by.
exec /bin/kafka --java /java/bin/java --jars /jars --data-dir /data --secrets /secrets/secrets.json \
    --manifests /manifests/kafka --manifests /manifests/dapr \
    --listen 127.0.0.1:9092 --listen-controller 127.0.0.1:9094 \
    --listen-tls todo-events-kafka-bootstrap.kafka.svc:9093
