package redisqueue

import (
	"time"

	"github.com/rondo-chat/rondo/matchmaking"
)

// Together makes calls of Enter, or Ack where there is a claim, as if they had
// come at once; of each, Result or Verdict and error.
func (q *Queue) Together(pool string, tickets []matchmaking.Ticket, searches []matchmaking.Search, claims []*matchmaking.Claim) (rs []matchmaking.Result, vs []matchmaking.Verdict, errs []error) {
	var list []*step
	for i, c := range claims {
		if c != nil {
			list = append(list, &step{args: ackArgs(*c)})
		} else {
			list = append(list, &step{args: enterArgs(tickets[i], searches[i])})
		}
	}
	for _, st := range list {
		st.until = time.Now().Add(time.Minute)
	}
	q.steps.run(q.stepKeys(pool), list)
	for i, st := range list {
		var r matchmaking.Result
		var v matchmaking.Verdict
		err := st.err
		if claims[i] != nil {
			v, err = readVerdict(st.reply, err)
		} else if err == nil {
			r, err = readEnter(pool, st.reply)
		}
		rs, vs, errs = append(rs, r), append(vs, v), append(errs, err)
	}
	return rs, vs, errs
}
