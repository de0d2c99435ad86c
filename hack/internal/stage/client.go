package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/leftfold/leftfold/api/v1alpha1"
)

// lookEvery is how long is rested between two looks at what is waited for. Looks that
// list pods and shards twenty times a second had the API server take a tenth of the
// machine from what was measured.
const lookEvery = 200 * time.Millisecond

// connect makes the clients.
func (s *Stage) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", s.Cluster.Kubeconfig())
	if err != nil {
		return err
	}
	config.QPS = -1 // whoever looks rests between two looks
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}
	if s.api, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	s.core, err = kubernetes.NewForConfig(config)
	return err
}

// Await looks again and again until nothing is missing, and at most for the time given;
// the error tells what was missing last.
func Await(ctx context.Context, patience time.Duration, missing func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var last error
	for {
		err := missing(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // and not that the time was over
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", patience, last)
		}
	}
}

// unless is what is wrong with an object whose condition is to be True, of the
// generation that the object has.
func unless(kind string, o metav1.Object, conditions []metav1.Condition, condition string) error {
	c := meta.FindStatusCondition(conditions, condition)
	switch {
	case c == nil:
		return fmt.Errorf("%s %s has no condition %s", kind, o.GetName(), condition)
	case c.Status != metav1.ConditionTrue, c.ObservedGeneration < o.GetGeneration():
		return fmt.Errorf("%s %s, generation %d: %s is %s of generation %d, %s: %s",
			kind, o.GetName(), o.GetGeneration(), condition, c.Status, c.ObservedGeneration, c.Reason, c.Message)
	}
	return nil
}

// DeletePod deletes a pod, and does not wait.
func (s *Stage) DeletePod(ctx context.Context, p Pod) error {
	uid := p.uid()
	return s.core.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
}

// AwaitGone waits until a pod that was deleted is no more.
func (s *Stage) AwaitGone(ctx context.Context, p Pod) error {
	return Await(ctx, time.Minute, func(ctx context.Context) error {
		got, err := s.core.CoreV1().Pods(p.Namespace).Get(ctx, p.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err), err == nil && got.UID != p.uid():
			return nil
		case err == nil:
			err = fmt.Errorf("pod %s is still there", p.Name)
		}
		return err
	})
}

// PassBy has a container come and go that has no part in anything.
func (b *Bank) PassBy(ctx context.Context) error {
	pod, err := b.core.CoreV1().Pods(b.Namespace).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bystander-"},
		Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever,
			Containers: []corev1.Container{{
				Name: "bystander", Image: "leftfold:dev", ImagePullPolicy: corev1.PullNever, Args: []string{"--help"},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	err = Await(ctx, time.Minute, func(ctx context.Context) error {
		got, err := b.core.CoreV1().Pods(b.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && got.Status.Phase != corev1.PodSucceeded {
			err = fmt.Errorf("pod %s is %s", pod.Name, got.Status.Phase)
		}
		return err
	})
	passed := Pod{Namespace: b.Namespace, Name: pod.Name, UID: string(pod.UID)}
	return errors.Join(err, b.DeletePod(ctx, passed), b.AwaitGone(ctx, passed))
}

// Stalled gives the reason why a shard is stalled; empty: it is not.
func (b *Bank) Stalled(ctx context.Context, name string) (string, error) {
	var shard v1alpha1.Shard
	if err := b.get(ctx, name, &shard); err != nil {
		return "", err
	}
	c := meta.FindStatusCondition(shard.Status.Conditions, v1alpha1.ConditionStalled)
	if c == nil || c.Status != metav1.ConditionTrue {
		return "", nil
	}
	return c.Reason, nil
}
