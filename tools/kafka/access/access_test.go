// Package access tries, on a real broker, what the users of the cluster's
// manifests may do and what they may not.
package access

import (
	"context"
	"crypto/tls"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	service = "todo-events"
	scaler  = "todo-events-scaler"
)

// Every attempt must be one that the broker would grant; else a refusal would
// show nothing.
func TestEveryAttemptSucceedsForAnOperator(t *testing.T) {
	broker := theBroker(t)
	others := broker.scratch(t)
	for _, attempt := range slices.Concat(writing, reading, committing, looking, administering) {
		if err := attempt.try(broker.operator(), others); err != nil {
			t.Errorf("%s: %v", attempt.name, err)
		}
	}
}

// That the service may publish and consume is seen by events that flow.
func TestTheServiceAdministersNothing(t *testing.T) {
	broker := theBroker(t)
	for _, topic := range []string{"tasks", "reminders", "tasks-dlq"} {
		for _, group := range []string{"recurrence", "reminder"} {
			mustRefuse(t, broker.user(t, service), place{topic, group}, administering)
		}
	}
}

func TestTheServiceHasNoOtherTopicsAndGroups(t *testing.T) {
	broker := theBroker(t)
	others := broker.scratch(t)
	user := broker.user(t, service)
	mustRefuse(t, user, others, looking, reading, writing, administering)
	mustRefuse(t, user, place{topic: "tasks", group: others.group}, committing)
	mustSee(t, user, []string{"reminders", "tasks", "tasks-dlq"}, []string{"recurrence", "reminder"})
}

func TestTheScalerReadsLag(t *testing.T) {
	broker := theBroker(t)
	user := broker.user(t, scaler)
	for _, on := range []place{{"tasks", "recurrence"}, {"tasks", "reminder"}, {"reminders", "reminder"}} {
		for _, attempt := range looking {
			if err := attempt.try(user, on); err != nil {
				t.Errorf("%s of %v: %v", attempt.name, on, err)
			}
		}
	}
	// As KEDA computes it. Of a whole group no lag can be asked: "recurrence"
	// also consumes the dead letters, which are none of the scaler's business.
	err := user.with(func(ctx context.Context, _ *kgo.Client, admin *kadm.Client) error {
		committed, err := admin.FetchOffsetsForTopics(ctx, "reminder", "tasks")
		if err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, "tasks")
		if err != nil {
			return err
		}
		if len(committed["tasks"]) == 0 || len(committed["tasks"]) != len(ends["tasks"]) {
			t.Errorf("group reminder, topic tasks: offsets %v, ends %v", committed, ends)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTheScalerDoesNothingElse(t *testing.T) {
	broker := theBroker(t)
	user := broker.user(t, scaler)
	mustRefuse(t, user, place{"tasks", "recurrence"}, reading, committing, writing, administering)
	mustRefuse(t, user, place{"reminders", "reminder"}, reading, committing, writing, administering)
	mustRefuse(t, user, broker.scratch(t), looking, reading, writing, administering)
	mustSee(t, user, []string{"reminders", "tasks"}, []string{"recurrence", "reminder"})
}

func TestStrangersAreNotLetIn(t *testing.T) {
	broker := theBroker(t)
	password := broker.passwords[service]
	strangers := map[string]someone{
		"a wrong password":       broker.login(service, password+"x"),
		"another's password":     broker.login(service, broker.passwords[scaler]),
		"an unknown user":        broker.login("somebody", password),
		"no user":                broker.encrypted(),
		"the password as PLAIN":  broker.encrypted(kgo.SASL(plain.Auth{User: service, Pass: password}.AsMechanism())),
		"a shorter SCRAM":        broker.encrypted(kgo.SASL(scram.Auth{User: service, Pass: password}.AsSha256Mechanism())),
		"no encryption":          {[]kgo.Opt{kgo.SeedBrokers(broker.clients)}},
		"the password, uncoded":  {[]kgo.Opt{kgo.SeedBrokers(broker.clients), kgo.SASL(scram.Auth{User: service, Pass: password}.AsSha512Mechanism())}},
		"an authority of others": {[]kgo.Opt{kgo.SeedBrokers(broker.clients), kgo.DialTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12})}},
	}
	for who, stranger := range strangers {
		err := stranger.with(func(ctx context.Context, client *kgo.Client, _ *kadm.Client) error {
			return client.Ping(ctx)
		})
		if err == nil {
			t.Errorf("%s: the broker answers", who)
		} else {
			t.Logf("%s: %v", who, err)
		}
	}
	if err := looking[0].try(broker.user(t, service), place{topic: "tasks"}); err != nil {
		t.Errorf("with its password: %v", err)
	}
}

// mustRefuse requires that the broker refuses every attempt.
func mustRefuse(t *testing.T, who someone, on place, attempts ...[]attempt) {
	t.Helper()
	for _, attempt := range slices.Concat(attempts...) {
		if err := attempt.try(who, on); !refused(err) {
			t.Errorf("%s, topic %s, group %s: not refused: %v", attempt.name, on.topic, on.group, err)
		}
	}
}

// mustSee requires that these topics and groups are all the broker shows.
func mustSee(t *testing.T, who someone, topics, groups []string) {
	t.Helper()
	err := who.with(func(ctx context.Context, _ *kgo.Client, admin *kadm.Client) error {
		seen, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		if names := seen.Names(); !slices.Equal(names, topics) {
			t.Errorf("sees the topics %v, not %v", names, topics)
		}
		listed, err := admin.ListGroups(ctx)
		if err != nil {
			return err
		}
		if names := listed.Groups(); !slices.Equal(names, groups) {
			t.Errorf("sees the groups %v, not %v", names, groups)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
