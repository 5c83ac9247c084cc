// Kafka runs one node of Apache Kafka the way a Strimzi cluster's manifests
// describe it: with their settings, topics, users and ACLs.
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
	"syscall"
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
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	java        string
	jars        string
	dataDir     string
	secrets     string
	manifests   []string
	operators   string
	clients     string
	controllers string
}

func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("kafka", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&opts.java, "java", "java", "`program` that runs the broker, of Java 17 or later")
	flags.StringVar(&opts.jars, "jars", "", "`folder` of Kafka's libraries")
	flags.StringVar(&opts.dataDir, "data-dir", "", "`folder` of the broker's data")
	flags.StringVar(&opts.secrets, "secrets", "", "`file` to write the Secrets to that Strimzi's operators would make")
	flags.StringVar(&opts.operators, "listen", "127.0.0.1:9092",
		"`address` without access control, as Strimzi's operators have one")
	flags.StringVar(&opts.clients, "listen-tls", "127.0.0.1:9093", "`address` of the manifests' listener")
	flags.StringVar(&opts.controllers, "listen-controller", "127.0.0.1:9094", "`address` the node needs for itself")
	flags.Func("manifests", "`folder` of Strimzi's resources, repeatable", func(folder string) error {
		opts.manifests = append(opts.manifests, folder)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if opts.jars == "" || opts.dataDir == "" || opts.secrets == "" || len(opts.manifests) == 0 {
		return options{}, errors.New("--jars, --data-dir, --secrets and --manifests are needed")
	}
	return opts, nil
}

// run serves until ctx ends. Once clients may connect as the manifests'
// users, the file of Secrets exists and "ready ADDRESS" is written to stdout.
func run(ctx context.Context, opts options, stdout io.Writer) error {
	resources, err := readManifests(opts.manifests)
	if err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(opts.clients)
	if err != nil {
		return err
	}
	authority, err := certify(opts.dataDir, host)
	if err != nil {
		return err
	}
	secrets, err := takeSecrets(opts.secrets)
	if err != nil {
		return err
	}
	broker, err := start(ctx, opts, resources.cluster)
	if err != nil {
		return err
	}
	provisioned := make(chan error, 1)
	provisioning, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		err := resources.provision(provisioning, opts.operators, secrets)
		if err == nil {
			secrets.add(resources, opts.clients, authority)
			err = secrets.write(opts.secrets)
		}
		provisioned <- err
	}()
	select {
	case err = <-provisioned:
	case err = <-broker.ended:
		return fmt.Errorf("the broker ended before it was ready: %w", err)
	}
	if err == nil {
		_, err = fmt.Fprintln(stdout, "ready", opts.operators)
	}
	if err != nil {
		return errors.Join(err, broker.stop())
	}
	select {
	case <-ctx.Done():
		return broker.stop()
	case err := <-broker.ended:
		return fmt.Errorf("the broker ended: %w", err)
	}
}
