// Broker is a single Kafka-protocol broker for a laptop and for the tests:
// franz-go's kfake, in memory or, given a data folder, surviving restarts and
// kills.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// From the first signal on, a second one ends the process at once.
	context.AfterFunc(ctx, stop)

	opts, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "broker:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	// listen is the address to serve on; port 0 takes a free one.
	listen string
	// dataDir holds everything that must survive a restart; empty keeps it in
	// memory.
	dataDir string
	// topics maps the name of each topic to its number of partitions.
	topics map[string]int32
	// faults is the address of the test aid in faults.go; empty leaves it out.
	faults string
}

func parse(args []string, stderr io.Writer) (options, error) {
	opts := options{topics: map[string]int32{}}
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:9092", "`address` to serve on; port 0 takes a free one")
	flags.StringVar(&opts.dataDir, "data-dir", "", "`folder` to keep records and offsets in (default in memory)")
	flags.Func("topic", "`name:partitions` of a topic to create, repeatable", func(value string) error {
		name, count, _ := strings.Cut(value, ":")
		partitions, err := strconv.ParseInt(count, 10, 32)
		if name == "" || err != nil || partitions < 1 {
			return errors.New("want NAME:PARTITIONS")
		}
		opts.topics[name] = int32(partitions)
		return nil
	})
	flags.StringVar(&opts.faults, "faults", "", "loopback `address` on which tests let writes fail (default none)")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return opts, nil
}

// run serves until ctx ends. It writes "ready ADDRESS" to stdout once clients
// may connect.
func run(ctx context.Context, opts options, stdout io.Writer) error {
	cluster, err := start(opts)
	if err != nil {
		return err
	}
	// Saves group sessions too, so members go on without a rebalance.
	defer cluster.Close()
	if opts.faults != "" {
		listener, err := serveFaults(cluster, opts.faults)
		if err != nil {
			return err
		}
		defer listener.Close()
	}
	if _, err := fmt.Fprintln(stdout, "ready", cluster.ListenAddrs()[0]); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start serves with exactly the topics asked for and those already on disk.
func start(opts options) (*kfake.Cluster, error) {
	options := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) {
			return net.Listen(network, opts.listen)
		}),
		kfake.WithLogger(kfake.BasicLogger(os.Stderr, kfake.LogLevelWarn)),
	}
	if opts.dataDir != "" {
		// What was acknowledged survives a kill, not a power cut: as in Kafka,
		// the operating system decides when to sync. Syncing each record makes
		// publishing four times slower.
		options = append(options, kfake.DataDir(opts.dataDir))
	}
	for name, partitions := range opts.topics {
		options = append(options, kfake.SeedTopics(partitions, name))
	}
	cluster, err := kfake.NewCluster(options...)
	if err != nil {
		return nil, err
	}
	// Seeds are ignored when there is data to load.
	for name, partitions := range opts.topics {
		if err := ensureTopic(cluster, name, partitions); err != nil {
			cluster.Close()
			return nil, err
		}
	}
	return cluster, nil
}

func ensureTopic(cluster *kfake.Cluster, name string, partitions int32) error {
	if cluster.TopicInfo(name) == nil {
		return cluster.CreateTopic(name, partitions, nil)
	}
	// Another count would send a key's records to another partition.
	if have := len(cluster.PartitionInfos(name)); have != int(partitions) {
		return fmt.Errorf("topic %s has %d partitions, not %d", name, have, partitions)
	}
	return nil
}
