package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The folders of the repository that the program is given.
var manifests = []string{"../../../../k8s/kafka/strimzi", "../../../../k8s/dapr-components"}

func TestTheRepositorysManifestsAreUnderstood(t *testing.T) {
	resources, err := readManifests(manifests)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, topic := range resources.topics {
		names = append(names, topic.Metadata.Name)
	}
	for _, user := range resources.users {
		names = append(names, user.Metadata.Name)
	}
	for _, access := range resources.accesses {
		names = append(names, access.Metadata.Name+" of "+access.Spec.User.Name)
	}
	want := "tasks reminders tasks-dlq todo-events todo-events-scaler kafka-todo-events of todo-events"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("read %s, not %s", got, want)
	}
}

func TestTheClusterSettingsAreThoseOfOneNode(t *testing.T) {
	resources, err := readManifests(manifests)
	if err != nil {
		t.Fatal(err)
	}
	settings, err := properties(options{dataDir: "data", clients: "127.0.0.1:9093"}, resources.cluster)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"auto.create.topics.enable=false",
		"offsets.retention.minutes=43200",
		"offsets.topic.replication.factor=1",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"listener.name.tls-9093.sasl.enabled.mechanisms=SCRAM-SHA-512",
	} {
		if !strings.Contains(settings, line+"\n") {
			t.Errorf("no %s in:\n%s", line, settings)
		}
	}
	for _, absent := range []string{"min.insync.replicas", "allow.everyone.if.no.acl.found"} {
		if strings.Contains(settings, absent) {
			t.Errorf("%s in:\n%s", absent, settings)
		}
	}
}

func TestARuleIsTranslatedAsStrimziDoes(t *testing.T) {
	var plain, special acl
	plain.Resource.Type, plain.Resource.Name = "topic", "tasks"
	creation, err := plain.creation("somebody", "DescribeConfigs")
	if err != nil {
		t.Fatal(err)
	}
	want := kmsg.CreateACLsRequestCreation{
		ResourceType:        kmsg.ACLResourceTypeTopic,
		ResourceName:        "tasks",
		ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral,
		Principal:           "User:somebody",
		Host:                "*",
		Operation:           kmsg.ACLOperationDescribeConfigs,
		PermissionType:      kmsg.ACLPermissionTypeAllow,
	}
	if got := comparable(creation); got != comparable(want) {
		t.Errorf("%s\nis not\n%s", got, comparable(want))
	}

	special.Type, special.Host = "deny", "10.0.0.1"
	special.Resource.Type, special.Resource.Name, special.Resource.PatternType = "transactionalId", "a", "prefix"
	creation, err = special.creation("somebody", "All")
	if err != nil {
		t.Fatal(err)
	}
	want = kmsg.CreateACLsRequestCreation{
		ResourceType:        kmsg.ACLResourceTypeTransactionalId,
		ResourceName:        "a",
		ResourcePatternType: kmsg.ACLResourcePatternTypePrefixed,
		Principal:           "User:somebody",
		Host:                "10.0.0.1",
		Operation:           kmsg.ACLOperationAll,
		PermissionType:      kmsg.ACLPermissionTypeDeny,
	}
	if got := comparable(creation); got != comparable(want) {
		t.Errorf("%s\nis not\n%s", got, comparable(want))
	}

	if _, err := plain.creation("somebody", "Everything"); err == nil {
		t.Error("an operation that does not exist is taken")
	}
}

func comparable(creation kmsg.CreateACLsRequestCreation) string {
	return strings.Join([]string{
		creation.PermissionType.String(), creation.Principal, creation.Host, creation.Operation.String(),
		creation.ResourceType.String(), creation.ResourcePatternType.String(), creation.ResourceName,
	}, " ")
}

func TestClusterIDIsNoOption(t *testing.T) {
	for range 1000 {
		id, err := clusterID()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(id, "-") || len(id) != 22 {
			t.Fatalf("cluster id %q", id)
		}
	}
}
