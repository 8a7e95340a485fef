//! The Solidity interfaces, generated from the files that the contracts are compiled against. So an event or a
//! typed-data string cannot differ between the two languages.

#![allow(missing_docs, reason = "the NatSpec of the interface files is the documentation")]
#![allow(clippy::too_many_arguments, reason = "an event has as many fields as it has")]

use alloy_sol_types::sol;

sol!("../contracts/interfaces/ISaltPay.sol");
sol!("../contracts/interfaces/IWrappedSalt.sol");
sol!("../contracts/interfaces/ISalt.sol");
sol!("../contracts/interfaces/IX402Permit2Proxies.sol");
sol!("../contracts/interfaces/ISaltChannels.sol");

sol! {
    /// The functions of ERC-20 that a payer needs.
    interface IErc20 {
        function approve(address spender, uint256 amount) external returns (bool);
        function allowance(address owner, address spender) external view returns (uint256);
    }
}
