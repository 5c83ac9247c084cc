# `spin up … -f IMAGE …`, as the Spin operator starts it, with the app that is in this image.
last=
for word; do
    shift
    if [ "$last" = -f ]; then word=/app/spin.toml; fi
    last=$word
    set -- "$@" "$word"
done
# An app from a registry has no state on disk; one from a file would have it beside the file.
exec /bin/spin "$@" --state-dir ""
