"""The cast of the pair's world: members, their users, and who looks at what they leave behind."""
