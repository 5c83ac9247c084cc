package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// asBroker makes the test binary be the broker, so that a test can kill one.
const asBroker = "TEST_AS_BROKER"

func TestMain(m *testing.M) {
	if os.Getenv(asBroker) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// broker is a running broker process.
type broker struct {
	process *exec.Cmd
	address string
}

// startBroker waits for the ready line; the test's end kills what still runs.
func startBroker(t *testing.T, args ...string) *broker {
	t.Helper()
	process := exec.Command(os.Args[0], args...)
	process.Env = append(os.Environ(), asBroker+"=1")
	process.Stderr = os.Stderr
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill(); _ = process.Wait() })

	line, err := bufio.NewReader(stdout).ReadString('\n')
	address, ready := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ready {
		t.Fatalf("got %q (%v), want the ready line", line, err)
	}
	return &broker{process, address}
}

// end sends the signal and waits for the process to be gone.
func (b *broker) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := b.process.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	err := b.process.Wait()
	if signal == syscall.SIGTERM && err != nil {
		t.Fatalf("SIGTERM: %v, want a clean exit", err)
	}
}

func (b *broker) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.address))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func deadline(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// read takes count records and says at which partition each value was.
func read(t *testing.T, client *kgo.Client, count int) map[string]int32 {
	t.Helper()
	ctx := deadline(t)
	partitionOf := map[string]int32{}
	for len(partitionOf) < count {
		fetches := client.PollRecords(ctx, count-len(partitionOf))
		if err := fetches.Err(); err != nil {
			t.Fatalf("%d of %d records read: %v", len(partitionOf), count, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if _, twice := partitionOf[string(r.Value)]; twice {
				t.Errorf("%s was delivered twice", r.Value)
			}
			partitionOf[string(r.Value)] = r.Partition
		})
	}
	return partitionOf
}

func TestRecordsAndOffsetsSurvive(t *testing.T) {
	const records, handled = 60, 25
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			ctx := deadline(t)
			args := []string{"--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--topic", "tasks:3"}
			group := []kgo.Opt{
				kgo.ConsumerGroup("recurrence"), kgo.ConsumeTopics("tasks"), kgo.DisableAutoCommit(),
				kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			}
			before := startBroker(t, args...)
			producer := before.client(t)
			written := map[string]int32{}
			for i := range records {
				record := kgo.KeySliceRecord(fmt.Append(nil, "user-", i%10), fmt.Append(nil, i))
				record.Topic = "tasks"
				if err := producer.ProduceSync(ctx, record).FirstErr(); err != nil {
					t.Fatal(err)
				}
				written[string(record.Value)] = record.Partition
			}
			consumer := before.client(t, group...)
			first := read(t, consumer, handled)
			if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
				t.Fatal(err)
			}
			consumer.Close() // leaves the group, so that the next one need not wait for it
			before.end(t, signal)

			// The group goes on where it was: nothing twice, nothing left out,
			// every record in the partition of its key.
			after := startBroker(t, args...)
			rest := read(t, after.client(t, group...), records-handled)
			used := map[int32]bool{}
			for value, partition := range written {
				a, early := first[value]
				b, late := rest[value]
				if early == late || a+b != partition {
					t.Errorf("record %s: in partition %d before (%t), %d after (%t), want once in %d", value, a, early, b, late, partition)
				}
				used[partition] = true
			}
			if len(used) != 3 {
				t.Errorf("ten keys used %d partitions, want 3", len(used))
			}
		})
	}
}

func TestTopics(t *testing.T) {
	dir := t.TempDir()
	partitions := func(b *broker) map[string]int {
		topics, err := kadm.NewClient(b.client(t)).ListTopics(deadline(t))
		if err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for name, topic := range topics {
			counts[name] = len(topic.Partitions)
		}
		return counts
	}

	b := startBroker(t, "--listen", "127.0.0.1:0", "--data-dir", dir, "--topic", "tasks:3", "--topic", "tasks-dlq:1")
	if got, want := fmt.Sprint(partitions(b)), "map[tasks:3 tasks-dlq:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A mistyped topic is an error, not a new topic.
	if err := b.client(t).ProduceSync(deadline(t), &kgo.Record{Topic: "task"}).FirstErr(); err == nil {
		t.Error("a record for an unknown topic was accepted")
	}
	b.end(t, syscall.SIGTERM)

	// Topics may be added later; existing ones stay.
	b = startBroker(t, "--listen", "127.0.0.1:0", "--data-dir", dir, "--topic", "reminders:2")
	if got, want := fmt.Sprint(partitions(b)), "map[reminders:2 tasks:3 tasks-dlq:1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.end(t, syscall.SIGTERM)

	opts := options{listen: "127.0.0.1:0", dataDir: dir, topics: map[string]int32{"tasks": 4}}
	if err := run(context.Background(), opts, io.Discard); err == nil {
		t.Error("a changed number of partitions was accepted")
	}
}

func TestWritesToOnePartitionFailAsLongAsTheyAreToldTo(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	faults := free.Addr().String()
	free.Close()
	b := startBroker(t, "--listen", "127.0.0.1:0", "--topic", "tasks:3", "--faults", faults)
	// The client itself would try again for ever.
	producer := b.client(t, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordRetries(0))
	write := func(partition int32) error {
		return producer.ProduceSync(deadline(t), &kgo.Record{Topic: "tasks", Partition: partition}).FirstErr()
	}
	call := func(method, path string, want int) {
		t.Helper()
		request, err := http.NewRequest(method, "http://"+faults+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Fatalf("%s %s: %d, want %d", method, path, answer.StatusCode, want)
		}
	}

	call("PUT", "/refused/tasks/1", 204)
	call("PUT", "/refused/tasks/1", 204)
	for partition := range int32(3) {
		if err := write(partition); (err != nil) != (partition == 1) {
			t.Errorf("partition %d: %v", partition, err)
		}
	}
	call("DELETE", "/refused/tasks/1", 204)
	if err := write(1); err != nil {
		t.Error(err)
	}
	call("DELETE", "/refused/tasks/1", 204)
	call("PUT", "/refused/tasks/3", 404)
	call("PUT", "/refused/none/0", 404)

	opts := options{listen: "127.0.0.1:0", faults: "0.0.0.0:0"}
	if err := run(context.Background(), opts, io.Discard); err == nil {
		t.Error("everybody could let writes fail")
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"--topic", "tasks"}, {"--topic", ":3"}, {"--topic", "tasks:0"}, {"--topic", "tasks:many"}, {"--port", "1"}, {"tasks:3"},
	} {
		if opts, err := parse(args, io.Discard); err == nil {
			t.Errorf("%q was read as %+v", args, opts)
		}
	}
	if err := run(context.Background(), options{listen: "nowhere"}, io.Discard); err == nil {
		t.Error("served on an address without a port")
	}
}
