package access

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// place is where something is attempted.
type place struct {
	topic string
	group string
}

// attempt is one thing a client of the broker can ask for.
type attempt struct {
	name string
	try  func(someone, place) error
}

// looking changes nothing and reads no record.
var looking = []attempt{
	{"describe the topic", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		topics, err := admin.ListTopics(ctx, on.topic)
		return errors.Join(err, topics.Error())
	})},
	{"ask for the topic's ends", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		offsets, err := admin.ListEndOffsets(ctx, on.topic)
		return errors.Join(err, offsets.Error())
	})},
	{"describe the group", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		groups, err := admin.DescribeGroups(ctx, on.group)
		return errors.Join(err, groups.Error())
	})},
	{"ask for the group's offsets", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		offsets, err := admin.FetchOffsets(ctx, on.group)
		return errors.Join(err, offsets.Error())
	})},
}

// reading is what only a consumer needs.
var reading = []attempt{
	{"read records", func(who someone, on place) error {
		from := map[string]map[int32]kgo.Offset{on.topic: {0: kgo.NewOffset().AtStart()}}
		return who.with(poll, kgo.ConsumePartitions(from))
	}},
	{"join the group", func(who someone, on place) error {
		return who.with(poll, kgo.ConsumeTopics(on.topic), kgo.ConsumerGroup(on.group))
	}},
}

// committing needs the rights of a consumer. Of a topic it does not see, the
// client does not even ask.
var committing = []attempt{
	{"commit offsets", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		offsets := kadm.Offsets{}
		offsets.AddOffset(on.topic, 0, 0, -1)
		return admin.CommitAllOffsets(ctx, on.group, offsets)
	})},
}

// writing is what only a producer needs.
var writing = []attempt{
	{"publish", func(who someone, on place) error {
		return who.with(func(ctx context.Context, client *kgo.Client, _ *kadm.Client) error {
			record := &kgo.Record{Topic: on.topic, Value: []byte("{}")}
			return client.ProduceSync(ctx, record).FirstErr()
		})
	}},
}

// administering is what the operators alone may do.
var administering = []attempt{
	{"create a topic", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		_, err := admin.CreateTopic(ctx, 1, 1, nil, on.topic+"-more")
		return err
	})},
	{"add partitions", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		partitions, err := admin.CreatePartitions(ctx, 1, on.topic)
		return errors.Join(err, partitions.Error())
	})},
	{"describe the topic's settings", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		settings, err := admin.DescribeTopicConfigs(ctx, on.topic)
		if err == nil {
			_, err = settings.On(on.topic, nil)
		}
		if err == nil {
			err = settings[0].Err
		}
		return err
	})},
	{"change the topic's settings", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		retention := kadm.AlterConfig{Name: "retention.ms", Value: kadm.StringPtr("604800000")}
		altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{retention}, on.topic)
		if err == nil {
			err = altered[0].Err
		}
		return err
	})},
	{"delete records", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		offsets := kadm.Offsets{}
		offsets.AddOffset(on.topic, 0, 0, -1)
		deleted, err := admin.DeleteRecords(ctx, offsets)
		return errors.Join(err, deleted.Error())
	})},
	{"delete the group", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		_, err := admin.DeleteGroup(ctx, on.group)
		return err
	})},
	{"delete the topic", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		_, err := admin.DeleteTopic(ctx, on.topic)
		return err
	})},
	{"change the brokers' settings", administration(func(ctx context.Context, admin *kadm.Client, _ place) error {
		setting := kadm.AlterConfig{Name: "log.cleaner.threads", Value: kadm.StringPtr("1")}
		altered, err := admin.AlterBrokerConfigs(ctx, []kadm.AlterConfig{setting})
		if err == nil {
			err = altered[0].Err
		}
		return err
	})},
	{"list ACLs", administration(func(ctx context.Context, admin *kadm.Client, _ place) error {
		described, err := admin.DescribeACLs(ctx, everyACL())
		if err == nil {
			err = described[0].Err
		}
		return err
	})},
	{"grant itself an ACL", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		grant := kadm.NewACLs().Allow("User:todo-events", "User:todo-events-scaler").AllowHosts("*").
			Topics(on.topic + "-more").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpAll)
		created, err := admin.CreateACLs(ctx, grant)
		if err == nil {
			err = created[0].Err
		}
		return err
	})},
	{"remove ACLs", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		ofTopic := kadm.NewACLs().Topics(on.topic + "-more").ResourcePatternType(kadm.ACLPatternLiteral).
			Allow().AllowHosts().Deny().DenyHosts().Operations()
		deleted, err := admin.DeleteACLs(ctx, ofTopic)
		if err == nil {
			err = deleted[0].Err
		}
		return err
	})},
	// Of all users at once, Kafka 4.3.1 leaves an unauthorized client without an answer.
	{"describe a user", administration(func(ctx context.Context, admin *kadm.Client, _ place) error {
		users, err := admin.DescribeUserSCRAMs(ctx, service)
		return errors.Join(err, users.Error())
	})},
	{"add a user", administration(func(ctx context.Context, admin *kadm.Client, on place) error {
		user := kadm.UpsertSCRAM{
			User: on.topic, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: "not a secret",
		}
		altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{user})
		return errors.Join(err, altered.Error())
	})},
	{"change quotas", func(who someone, on place) error {
		return who.with(func(ctx context.Context, client *kgo.Client, _ *kadm.Client) error {
			return changeQuota(ctx, client, on.topic)
		})
	}},
	{"begin transactions", func(who someone, on place) error {
		return who.with(func(ctx context.Context, client *kgo.Client, _ *kadm.Client) error {
			request := kmsg.NewPtrInitProducerIDRequest()
			request.TransactionalID = &on.topic
			request.TransactionTimeoutMillis = 10_000
			response, err := request.RequestWith(ctx, client)
			if err == nil {
				err = kerr.ErrorForCode(response.ErrorCode)
			}
			return err
		})
	}},
}

// administration is an attempt that needs no more than a client for administration.
func administration(work func(context.Context, *kadm.Client, place) error) func(someone, place) error {
	return func(who someone, on place) error {
		return who.with(func(ctx context.Context, _ *kgo.Client, admin *kadm.Client) error {
			return work(ctx, admin, on)
		})
	}
}

// poll waits for a record, or for being told why there is none.
func poll(ctx context.Context, client *kgo.Client, _ *kadm.Client) error {
	return client.PollFetches(ctx).Err()
}

func everyACL() *kadm.ACLBuilder {
	return kadm.NewACLs().AnyResource().ResourcePatternType(kadm.ACLPatternAny).
		Allow().AllowHosts().Deny().DenyHosts().Operations()
}

func changeQuota(ctx context.Context, client *kgo.Client, user string) error {
	request := kmsg.NewPtrAlterClientQuotasRequest()
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
	entity.Type, entity.Name = "user", &user
	operation := kmsg.NewAlterClientQuotasRequestEntryOp()
	operation.Key, operation.Value = "producer_byte_rate", 1e9
	entry.Entity = append(entry.Entity, entity)
	entry.Ops = append(entry.Ops, operation)
	request.Entries = append(request.Entries, entry)
	response, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(response.Entries[0].ErrorCode)
	}
	return err
}
