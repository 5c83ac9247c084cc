package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// javaOptions make a node that starts fast and stays small.
var javaOptions = []string{
	"-Xms256m",
	"-Xmx512m",
	"-XX:+UseSerialGC",
	"-XX:TieredStopAtLevel=1",
	"-Dorg.apache.logging.log4j.level=WARN",
}

// broker is the running Java process.
type broker struct {
	process *os.Process
	ended   chan error
}

// start formats the data folder if it is new, and starts the node on it.
func start(ctx context.Context, opts options, cluster *cluster) (*broker, error) {
	if err := checkVersion(opts.jars, cluster.Spec.Kafka.Version); err != nil {
		return nil, err
	}
	settings, err := properties(opts, cluster)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(opts.dataDir, "server.properties")
	if err := os.WriteFile(file, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(opts.dataDir, "log", "meta.properties")); errors.Is(err, os.ErrNotExist) {
		id, err := clusterID()
		if err != nil {
			return nil, err
		}
		format := java(ctx, opts, "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", id,
			"--release-version", cluster.Spec.Kafka.MetadataVersion, "--config", file)
		if err := format.Run(); err != nil {
			return nil, fmt.Errorf("format the data folder: %w", err)
		}
	}
	// Not bound to ctx, which would kill it: it is stopped.
	serve := java(context.WithoutCancel(ctx), opts, "kafka.Kafka", file)
	if err := serve.Start(); err != nil {
		return nil, err
	}
	broker := &broker{process: serve.Process, ended: make(chan error, 1)}
	go func() {
		err := serve.Wait()
		if err == nil {
			err = errors.New("exit status 0")
		}
		broker.ended <- err
	}()
	return broker, nil
}

func java(ctx context.Context, opts options, class string, args ...string) *exec.Cmd {
	arguments := slices.Concat(javaOptions, []string{"-cp", filepath.Join(opts.jars, "*"), class}, args)
	command := exec.CommandContext(ctx, opts.java, arguments...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command
}

// stop asks the node to stop and waits for its end.
func (b *broker) stop() error {
	if err := b.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-b.ended
	return nil
}

// checkVersion fails when the libraries are another version than the cluster's.
func checkVersion(jars, version string) error {
	jar := fmt.Sprintf("kafka-clients-%s.jar", version)
	if _, err := os.Stat(filepath.Join(jars, jar)); err != nil {
		return fmt.Errorf("the Kafka resource asks for version %s, but there is no %s", version, jar)
	}
	return nil
}

// clusterID is a random UUID as Kafka writes it.
func clusterID() (string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	id[0] &= 0x7f // No "-" in front: it would be read as an option.
	return base64.RawURLEncoding.EncodeToString(id), nil
}

// properties are the node's settings: the cluster's, on one node.
func properties(opts options, cluster *cluster) (string, error) {
	listener, err := cluster.listener()
	if err != nil {
		return "", err
	}
	if kind := cluster.Spec.Kafka.Authorization.Type; kind != "simple" {
		return "", fmt.Errorf("authorization %q of the Kafka resource is not known here", kind)
	}
	settings := map[string]string{}
	for name, value := range cluster.Spec.Kafka.Config {
		settings[name] = fmt.Sprint(value)
	}
	// What three brokers are needed for.
	for name := range settings {
		if strings.HasSuffix(name, "replication.factor") || strings.HasSuffix(name, "min.isr") {
			settings[name] = "1"
		}
	}
	delete(settings, "min.insync.replicas")
	name := strings.ToLower(listener.id())
	maps.Copy(settings, map[string]string{
		"process.roles":                       "broker,controller",
		"node.id":                             "1",
		"controller.quorum.bootstrap.servers": opts.controllers,
		"controller.listener.names":           "CONTROLLER",
		"inter.broker.listener.name":          "OPERATORS",
		"listeners":                           fmt.Sprintf("CONTROLLER://%s,OPERATORS://%s,%s://%s", opts.controllers, opts.operators, listener.id(), opts.clients),
		"listener.security.protocol.map":      fmt.Sprintf("CONTROLLER:PLAINTEXT,OPERATORS:PLAINTEXT,%s:SASL_SSL", listener.id()),
		"log.dirs":                            filepath.Join(opts.dataDir, "log"),
		// As Strimzi translates the resource.
		"authorizer.class.name":                                     "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"listener.name." + name + ".sasl.enabled.mechanisms":        "SCRAM-SHA-512",
		"listener.name." + name + ".scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name." + name + ".ssl.keystore.type":              "PEM",
		"listener.name." + name + ".ssl.keystore.location":          filepath.Join(opts.dataDir, serverFile),
		// Whoever is on this machine, on the listener of the operators.
		"super.users": "User:ANONYMOUS",
	})
	lines := make([]string, 0, len(settings))
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		lines = append(lines, name+"="+settings[name]+"\n")
	}
	return strings.Join(lines, ""), nil
}
