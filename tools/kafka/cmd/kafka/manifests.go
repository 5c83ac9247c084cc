package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// resources are Strimzi's among the manifests. Fields that play no part on one
// node are left out.
type resources struct {
	cluster  *cluster
	topics   []topic
	users    []user
	accesses []access
}

type metadata struct {
	Name string `json:"name"`
}

type cluster struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Kafka struct {
			Version         string         `json:"version"`
			MetadataVersion string         `json:"metadataVersion"`
			Listeners       []listener     `json:"listeners"`
			Config          map[string]any `json:"config"`
			Authorization   struct {
				Type string `json:"type"`
			} `json:"authorization"`
		} `json:"kafka"`
	} `json:"spec"`
}

type listener struct {
	Name           string `json:"name"`
	Port           int    `json:"port"`
	TLS            bool   `json:"tls"`
	Authentication struct {
		Type string `json:"type"`
	} `json:"authentication"`
}

// id is the listener's name in the broker's settings.
func (l listener) id() string {
	return strings.ToUpper(fmt.Sprintf("%s-%d", l.Name, l.Port))
}

// listener is the one listener clients have.
func (c *cluster) listener() (listener, error) {
	listeners := c.Spec.Kafka.Listeners
	if len(listeners) != 1 || !listeners[0].TLS || listeners[0].Authentication.Type != "scram-sha-512" {
		return listener{}, errors.New("the Kafka resource must have one listener, with TLS and scram-sha-512")
	}
	return listeners[0], nil
}

type topic struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Partitions int32          `json:"partitions"`
		Config     map[string]any `json:"config"`
	} `json:"spec"`
}

type user struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		Authentication struct {
			Type string `json:"type"`
		} `json:"authentication"`
		Authorization struct {
			ACLs []acl `json:"acls"`
		} `json:"authorization"`
	} `json:"spec"`
}

type acl struct {
	Type     string `json:"type"`
	Resource struct {
		Type        string `json:"type"`
		Name        string `json:"name"`
		PatternType string `json:"patternType"`
	} `json:"resource"`
	Operations []string `json:"operations"`
	Host       string   `json:"host"`
}

type access struct {
	Metadata metadata `json:"metadata"`
	Spec     struct {
		User struct {
			Name string `json:"name"`
		} `json:"user"`
	} `json:"spec"`
}

// readManifests reads every YAML file of the folders.
func readManifests(folders []string) (resources, error) {
	var all resources
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			return all, err
		}
		for _, file := range files {
			if err := all.read(file); err != nil {
				return all, fmt.Errorf("%s: %w", file, err)
			}
		}
	}
	if all.cluster == nil {
		return all, fmt.Errorf("no Kafka resource in %s", strings.Join(folders, ", "))
	}
	return all, nil
}

func (r *resources) read(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, document := range bytes.Split(content, []byte("\n---\n")) {
		var kind struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return err
		}
		switch kind.Kind {
		case "Kafka":
			r.cluster = &cluster{}
			err = decode(document, r.cluster)
		case "KafkaTopic":
			err = add(document, &r.topics)
		case "KafkaUser":
			err = add(document, &r.users)
		case "KafkaAccess":
			err = add(document, &r.accesses)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func add[T any](document []byte, to *[]T) error {
	var resource T
	if err := decode(document, &resource); err != nil {
		return err
	}
	*to = append(*to, resource)
	return nil
}

// decode keeps numbers as they are written: some settings are large.
func decode(document []byte, into any) error {
	return yaml.Unmarshal(document, into, func(decoder *json.Decoder) *json.Decoder {
		decoder.UseNumber()
		return decoder
	})
}
