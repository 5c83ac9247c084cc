package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// limit is how long any one attempt may take.
const limit = 20 * time.Second

// broker is a running one, as `cargo xtask` describes its stack.
type broker struct {
	operators string
	clients   string
	authority *x509.CertPool
	passwords map[string]string
}

// theBroker is the one of the running stack.
func theBroker(t *testing.T) broker {
	t.Helper()
	var stack struct {
		Kafka        string `json:"kafka"`
		KafkaSecrets string `json:"kafka_secrets"`
	}
	if err := json.Unmarshal([]byte(os.Getenv("TODO_EVENTS_STACK")), &stack); err != nil || stack.KafkaSecrets == "" {
		t.Fatal("no stack with Apache Kafka is given; run `cargo xtask test --e2e --broker kafka`")
	}
	content, err := os.ReadFile(stack.KafkaSecrets)
	if err != nil {
		t.Fatal(err)
	}
	var secrets map[string]map[string]string
	if err := json.Unmarshal(content, &secrets); err != nil {
		t.Fatal(err)
	}
	access := secrets["kafka-todo-events"]
	broker := broker{
		operators: stack.Kafka,
		clients:   access["bootstrapServers"],
		authority: x509.NewCertPool(),
		passwords: map[string]string{},
	}
	if !broker.authority.AppendCertsFromPEM([]byte(access["ssl.truststore.crt"])) {
		t.Fatal("no certificate in the Secret kafka-todo-events")
	}
	for name, secret := range secrets {
		broker.passwords[name] = secret["password"]
	}
	return broker
}

// someone connects to the broker in one particular way.
type someone struct {
	options []kgo.Opt
}

// operator may do everything, on a listener of its own.
func (b broker) operator() someone {
	return someone{[]kgo.Opt{kgo.SeedBrokers(b.operators)}}
}

// user is one of the manifests' users, with its password.
func (b broker) user(t *testing.T, name string) someone {
	t.Helper()
	password, ok := b.passwords[name]
	if !ok {
		t.Fatalf("there is no Secret of the user %s", name)
	}
	return b.login(name, password)
}

func (b broker) login(name, password string) someone {
	mechanism := scram.Auth{User: name, Pass: password}.AsSha512Mechanism()
	return b.encrypted(kgo.SASL(mechanism))
}

// encrypted trusts the cluster's authority, and says nothing of who it is.
func (b broker) encrypted(options ...kgo.Opt) someone {
	encryption := kgo.DialTLSConfig(&tls.Config{RootCAs: b.authority, MinVersion: tls.VersionTLS12})
	return someone{append([]kgo.Opt{kgo.SeedBrokers(b.clients), encryption}, options...)}
}

func (s someone) client(options ...kgo.Opt) (*kgo.Client, error) {
	all := append([]kgo.Opt{
		kgo.DisableIdempotentWrite(), // as Dapr
		kgo.ProducerBatchMaxBytes(1 << 16),
		kgo.RecordRetries(2),
		kgo.RequestRetries(5),
		kgo.RetryTimeout(limit / 2),
	}, s.options...)
	return kgo.NewClient(append(all, options...)...)
}

// with calls work with a client, and with one for administration on it.
func (s someone) with(work func(context.Context, *kgo.Client, *kadm.Client) error, options ...kgo.Opt) error {
	client, err := s.client(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return work(ctx, client, kadm.NewClient(client))
}

// refusals are how the broker says that no ACL allows something.
var refusals = []*kerr.Error{
	kerr.TopicAuthorizationFailed,
	kerr.GroupAuthorizationFailed,
	kerr.ClusterAuthorizationFailed,
	kerr.TransactionalIDAuthorizationFailed,
}

func refused(err error) bool {
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// scratch makes a topic that no user has to do with, and names such a group.
// They begin like the users' own, so that a rule for a prefix is noticed.
func (b broker) scratch(t *testing.T) place {
	t.Helper()
	name := fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())
	others := place{topic: "tasks-" + name, group: "recurrence-" + name}
	err := b.operator().with(func(ctx context.Context, _ *kgo.Client, admin *kadm.Client) error {
		_, err := admin.CreateTopic(ctx, 1, 1, nil, others.topic)
		return err
	})
	if err != nil {
		t.Fatalf("the operator cannot create a topic: %v", err)
	}
	return others
}
