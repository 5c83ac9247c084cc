package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// readyLimit is how long the node may take until it answers.
const readyLimit = 60 * time.Second

// provision does once what Strimzi's topic and user operators do all the time.
func (r resources) provision(ctx context.Context, address string, secrets secrets) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := ready(ctx, client); err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	for _, topic := range r.topics {
		if err := createTopic(ctx, admin, topic); err != nil {
			return fmt.Errorf("topic %s: %w", topic.Metadata.Name, err)
		}
	}
	for _, user := range r.users {
		if err := createUser(ctx, admin, user, secrets); err != nil {
			return fmt.Errorf("user %s: %w", user.Metadata.Name, err)
		}
		if err := createACLs(ctx, client, user); err != nil {
			return fmt.Errorf("ACLs of user %s: %w", user.Metadata.Name, err)
		}
	}
	return nil
}

// ready waits until the node serves.
func ready(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, readyLimit)
	defer cancel()
	for {
		err := client.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the broker does not answer: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func createTopic(ctx context.Context, admin *kadm.Client, topic topic) error {
	config := map[string]*string{}
	for name, value := range topic.Spec.Config {
		if name != "min.insync.replicas" { // of one
			config[name] = kadm.StringPtr(fmt.Sprint(value))
		}
	}
	_, err := admin.CreateTopic(ctx, topic.Spec.Partitions, 1, config, topic.Metadata.Name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

func createUser(ctx context.Context, admin *kadm.Client, user user, secrets secrets) error {
	if kind := user.Spec.Authentication.Type; kind != "scram-sha-512" {
		return fmt.Errorf("authentication %q is not known here", kind)
	}
	password, err := secrets.password(user.Metadata.Name)
	if err != nil {
		return err
	}
	altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{
		User:       user.Metadata.Name,
		Mechanism:  kadm.ScramSha512,
		Iterations: 4096,
		Password:   password,
	}})
	if err != nil {
		return err
	}
	return altered.Error()
}

// createACLs translates each rule as Strimzi's user operator does.
func createACLs(ctx context.Context, client *kgo.Client, user user) error {
	request := kmsg.NewPtrCreateACLsRequest()
	for _, rule := range user.Spec.Authorization.ACLs {
		for _, operation := range rule.Operations {
			creation, err := rule.creation(user.Metadata.Name, operation)
			if err != nil {
				return err
			}
			request.Creations = append(request.Creations, creation)
		}
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, result := range response.Results {
		if err := kerr.ErrorForCode(result.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

func (a acl) creation(user, operation string) (kmsg.CreateACLsRequestCreation, error) {
	creation := kmsg.NewCreateACLsRequestCreation()
	creation.Principal = "User:" + user
	creation.ResourceName = a.Resource.Name
	creation.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
	if a.Resource.PatternType == "prefix" {
		creation.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
	}
	if a.Resource.Type == "cluster" {
		creation.ResourceName = "kafka-cluster"
	}
	creation.Host = "*"
	if a.Host != "" {
		creation.Host = a.Host
	}
	creation.PermissionType = kmsg.ACLPermissionTypeAllow
	if a.Type == "deny" {
		creation.PermissionType = kmsg.ACLPermissionTypeDeny
	}
	var err error
	if creation.ResourceType, err = kmsg.ParseACLResourceType(a.Resource.Type); err != nil {
		return creation, err
	}
	creation.Operation, err = kmsg.ParseACLOperation(operation)
	return creation, err
}
