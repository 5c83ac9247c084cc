package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// secrets are the Secrets that Strimzi's operators would make, by name.
type secrets map[string]map[string]string

// takeSecrets reads those of an earlier start, whose passwords clients may
// have, and removes the file, which is to exist when the broker is ready.
func takeSecrets(file string) (secrets, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return secrets{}, nil
	}
	if err != nil {
		return nil, err
	}
	var earlier secrets
	if err := json.Unmarshal(content, &earlier); err != nil {
		return nil, err
	}
	return earlier, os.Remove(file)
}

// password of a user: the user operator keeps it in a Secret of its name.
func (s secrets) password(user string) (string, error) {
	if secret, ok := s[user]; ok {
		return secret["password"], nil
	}
	password := rand.Text()
	s[user] = map[string]string{"password": password}
	return password, nil
}

// add makes what the cluster operator and the access operator make.
func (s secrets) add(resources resources, address string, authority []byte) {
	s[resources.cluster.Metadata.Name+"-cluster-ca-cert"] = map[string]string{"ca.crt": string(authority)}
	for _, access := range resources.accesses {
		user := access.Spec.User.Name
		s[access.Metadata.Name] = map[string]string{
			"bootstrapServers":   address,
			"username":           user,
			"password":           s[user]["password"],
			"ssl.truststore.crt": string(authority),
		}
	}
}

// write replaces the file whole.
func (s secrets) write(file string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "secrets-*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Close()); err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return os.Rename(temporary.Name(), file)
}
