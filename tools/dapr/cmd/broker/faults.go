package main

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// faults is a test aid: an HTTP API that lets writes to a partition fail as
// they do where too few of its replicas are in sync.
//
//	PUT    /refused/{topic}/{partition}
//	DELETE /refused/{topic}/{partition}
type faults struct {
	cluster *kfake.Cluster
	mu      sync.Mutex
	refused map[string]*kfake.FaultHandle
}

// serveFaults serves the API on a loopback address until the listener that it
// returns is closed: whoever reaches it can stop the broker's writes.
func serveFaults(cluster *kfake.Cluster, address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := listener.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		listener.Close()
		return nil, fmt.Errorf("%s is not a loopback address", address)
	}
	f := &faults{cluster: cluster, refused: map[string]*kfake.FaultHandle{}}
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /refused/{topic}/{partition}", f.refuse)
	mux.HandleFunc("DELETE /refused/{topic}/{partition}", f.accept)
	// It ends with the listener.
	go func() { _ = http.Serve(listener, mux) }()
	return listener, nil
}

func (f *faults) refuse(w http.ResponseWriter, r *http.Request) {
	topic := r.PathValue("topic")
	partition, err := strconv.ParseInt(r.PathValue("partition"), 10, 32)
	if err != nil || f.cluster.PartitionInfo(topic, int32(partition)) == nil {
		http.Error(w, "no such partition", http.StatusNotFound)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	name := place(r)
	if f.refused[name] == nil {
		f.refused[name] = f.cluster.Fault(kfake.Fault{
			Keys:       []kmsg.Key{kmsg.Produce},
			Topic:      topic,
			Partitions: []int32{int32(partition)},
			Err:        kerr.NotEnoughReplicas,
			Count:      -1,
		})
	}
	w.WriteHeader(http.StatusNoContent)
}

func (f *faults) accept(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault := f.refused[place(r)]; fault != nil {
		fault.Remove()
		delete(f.refused, place(r))
	}
	w.WriteHeader(http.StatusNoContent)
}

func place(r *http.Request) string {
	return r.PathValue("topic") + "/" + r.PathValue("partition")
}
