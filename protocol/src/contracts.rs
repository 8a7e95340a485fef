//! The Solidity interfaces, read from the files the contracts are compiled against, so that an event or a typed-data
//! string cannot differ between the two languages.

#![allow(missing_docs, reason = "the NatSpec of the interface files is the documentation")]

use alloy_sol_types::sol;

sol!("../contracts/interfaces/ISaltPay.sol");
sol!("../contracts/interfaces/IWrappedSalt.sol");
