# `spin up … -f IMAGE …`, as the Spin operator starts it, with the app that is in this image.
last=
for word; do
    shift
    if [ "$last" = -f ]; then
        case $word in
            *:@BEFORE@) word=/before/spin.toml ;;
            *) word=/app/spin.toml ;;
        esac
    fi
    last=$word
    set -- "$@" "$word"
done
# An app from a registry has no state on disk; one from a file would have it beside the file.
exec /bin/spin "$@" --state-dir ""
