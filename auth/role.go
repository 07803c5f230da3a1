package auth

// Role is what a user may do on the whole service; rooms have roles of their own.
type Role string

// The roles.
const (
	RoleUser      Role = "user"
	RoleModerator Role = "moderator"
	RoleAdmin     Role = "admin"
	RoleService   Role = "service" // another program, not a person
)
